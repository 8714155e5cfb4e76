//! The name of a transaction on chain and in the API.

use alloy_primitives::{Address, B256, U256, keccak256};

/// keccak256 of `abi.encode(escrowAddress, to, value, keccak256(data), chainId, nonce)`, contract/core.md
/// section 4. A contract creation has the zero address for `to`.
pub fn request_hash(
    from: Address,
    to: Option<Address>,
    value: U256,
    data: &[u8],
    chain_id: u64,
    nonce: U256,
) -> B256 {
    let words = [
        from.into_word(),
        to.unwrap_or(Address::ZERO).into_word(),
        B256::from(value),
        keccak256(data),
        B256::from(U256::from(chain_id)),
        B256::from(nonce),
    ];
    keccak256(words.map(|word| word.0).concat())
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{address, b256};

    use super::*;

    /// Expected hashes from Python's eth-abi 6.0.0.
    #[test]
    fn agrees_with_eth_abi() {
        let escrow = address!("742d35cc6486c8B9bC0cBE34cb8b6Ca7eC440E71");
        let to = Some(address!("3535353535353535353535353535353535353535"));
        assert_eq!(
            request_hash(escrow, to, U256::from(10_u64.pow(18)), &[], 31_337, U256::ZERO),
            b256!("a2754bbbfca76c4371037dfe745fc67acc99d8680c3d0cea44d4e788c6533f82")
        );
        let mut data = [0; 68];
        data[..4].copy_from_slice(&[0xa9, 0x05, 0x9c, 0xbb]);
        assert_eq!(
            request_hash(escrow, to, U256::MAX, &data, 31_337, U256::MAX),
            b256!("b32895ef438607b29caa546cc14e2df03f0044261dcc4fa42aad377b0755798b")
        );
    }
}
