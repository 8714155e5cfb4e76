//! ERC-1271: how a contract is asked whether it takes a signature for its own.

use alloy_primitives::B256;

/// Selector of `isValidSignature(bytes32,bytes)`, and the contract's yes.
const MAGIC: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];
const WORD: usize = 32;

/// Data of the call `isValidSignature(digest, signature)`.
pub fn call_data(digest: B256, signature: &[u8]) -> Vec<u8> {
    let word = |number: usize| B256::left_padding_from(&number.to_be_bytes());
    let padding = signature.len().next_multiple_of(WORD) - signature.len();
    let mut data = Vec::with_capacity(4 + 3 * WORD + signature.len() + padding);
    data.extend_from_slice(&MAGIC);
    data.extend_from_slice(digest.as_slice());
    // The bytes begin behind the two words of the head.
    data.extend_from_slice(word(2 * WORD).as_slice());
    data.extend_from_slice(word(signature.len()).as_slice());
    data.extend_from_slice(signature);
    data.resize(data.len() + padding, 0);
    data
}

/// Whether the call's answer is the contract's yes: a `bytes4`, padded to a word. No code, no answer and another word
/// are a no.
pub fn is_yes(answer: &[u8]) -> bool {
    answer.get(..WORD).is_some_and(|word| word[..4] == MAGIC && word[4..].iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests;
