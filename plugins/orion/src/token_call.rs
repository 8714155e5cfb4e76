//! Calls that move tokens or hand out the right to, read from the bytes that will be signed.

use crate::amount::Amount;

const WORD_BYTES: usize = 32;
const SELECTOR_BYTES: usize = 4;

/// A call of ERC-20, ERC-721 or ERC-1155 that gives something away.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TokenCall {
    /// Tokens go to an address.
    Transfer { to: String, amount: Amount },
    /// An address may take up to an amount.
    Allowance { spender: String, amount: Amount, unlimited: bool },
    /// An address may take everything.
    Operator { operator: String },
}

impl TokenCall {
    /// Reads the call if its selector is one of those known here; `Err` when its arguments are cut off
    /// or have bits set where an address has none.
    pub(crate) fn read(data: &[u8]) -> Option<Result<Self, Malformed>> {
        let (selector, arguments) = data.split_at_checked(SELECTOR_BYTES)?;
        let arguments = Arguments(arguments);
        match selector {
            // transfer(address,uint256)
            [0xa9, 0x05, 0x9c, 0xbb] => Some(arguments.transfer(0)),
            // transferFrom(address,address,uint256) and both safeTransferFrom of ERC-721
            [0x23, 0xb8, 0x72, 0xdd] | [0x42, 0x84, 0x2e, 0x0e] | [0xb8, 0x8d, 0x4f, 0xde] => {
                Some(arguments.transfer(1))
            }
            // approve(address,uint256) and increaseAllowance(address,uint256)
            [0x09, 0x5e, 0xa7, 0xb3] | [0x39, 0x50, 0x93, 0x51] => Some(arguments.allowance()),
            // setApprovalForAll(address,bool), which is harmless when it takes the right back
            [0xa2, 0x2c, 0xb4, 0x65] => arguments.operator().transpose(),
            _ => None,
        }
    }

    /// Who receives something.
    pub(crate) fn beneficiary(&self) -> &str {
        match self {
            Self::Transfer { to, .. } => to,
            Self::Allowance { spender, .. } => spender,
            Self::Operator { operator } => operator,
        }
    }
}

/// Arguments that no wallet would have encoded so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

struct Arguments<'a>(&'a [u8]);

impl Arguments<'_> {
    fn transfer(&self, recipient: usize) -> Result<TokenCall, Malformed> {
        let amount = Amount::from_word(self.word(recipient + 1)?);
        Ok(TokenCall::Transfer { to: self.address(recipient)?, amount })
    }

    fn allowance(&self) -> Result<TokenCall, Malformed> {
        let word = self.word(1)?;
        Ok(TokenCall::Allowance {
            spender: self.address(0)?,
            amount: Amount::from_word(word),
            unlimited: is_unlimited(word),
        })
    }

    fn operator(&self) -> Result<Option<TokenCall>, Malformed> {
        let granted = self.word(1)?.iter().any(|byte| *byte != 0);
        let operator = self.address(0)?;
        Ok(granted.then_some(TokenCall::Operator { operator }))
    }

    fn address(&self, index: usize) -> Result<String, Malformed> {
        let (padding, address) = self.word(index)?.split_at(12);
        if padding.iter().any(|byte| *byte != 0) {
            return Err(Malformed);
        }
        Ok(address.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}")))
    }

    fn word(&self, index: usize) -> Result<&[u8; WORD_BYTES], Malformed> {
        self.0.as_chunks().0.get(index).ok_or(Malformed)
    }
}

/// At least half of all that a word can say, or the maximum of tokens that count in 96 or 160 bits.
fn is_unlimited(word: &[u8; WORD_BYTES]) -> bool {
    let all_ones_in_last = |bytes: usize| {
        let (high, low) = word.split_at(WORD_BYTES - bytes);
        high.iter().all(|byte| *byte == 0) && low.iter().all(|byte| *byte == 0xff)
    };
    word[0] >= 0x80 || all_ones_in_last(12) || all_ones_in_last(20)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Malformed, TokenCall};
    use crate::amount::Amount;

    /// `approve(spender, amount)`.
    pub(crate) fn approve(spender: u8, amount: [u8; 32]) -> Vec<u8> {
        let mut data = vec![0x09, 0x5e, 0xa7, 0xb3];
        data.extend([0; 12]);
        data.extend([spender; 20]);
        data.extend(amount);
        data
    }

    #[test]
    fn an_allowance_shows_spender_and_amount() {
        let mut amount = [0; 32];
        amount[31] = 200;
        let expected = TokenCall::Allowance {
            spender: format!("0x{}", "ab".repeat(20)),
            amount: Amount::parse("200").unwrap(),
            unlimited: false,
        };
        assert_eq!(TokenCall::read(&approve(0xab, amount)), Some(Ok(expected)));
    }

    #[test]
    fn the_usual_maxima_are_unlimited() {
        for zeros in [0, 12, 20] {
            let mut amount = [0xff; 32];
            amount[..zeros].fill(0);
            let call = TokenCall::read(&approve(0xab, amount));
            assert!(matches!(call, Some(Ok(TokenCall::Allowance { unlimited: true, .. }))), "{zeros}");
        }
    }

    #[test]
    fn cut_off_arguments_and_dirty_addresses_are_malformed() {
        let mut dirty = approve(0xab, [0; 32]);
        assert_eq!(TokenCall::read(&dirty[..40]), Some(Err(Malformed)));
        dirty[5] = 1;
        assert_eq!(TokenCall::read(&dirty), Some(Err(Malformed)));
    }

    #[test]
    fn taking_an_operator_back_is_not_a_token_call() {
        let mut data = approve(0xab, [0; 32]);
        data[..4].copy_from_slice(&[0xa2, 0x2c, 0xb4, 0x65]);
        assert_eq!(TokenCall::read(&data), None);
        data[67] = 1;
        assert!(matches!(TokenCall::read(&data), Some(Ok(TokenCall::Operator { .. }))));
    }
}
