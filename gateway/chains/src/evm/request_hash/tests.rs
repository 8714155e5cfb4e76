use alloy_primitives::{address, b256};

use super::*;

/// Expected hashes from Python's eth-abi 6.0.0.
#[test]
fn agrees_with_eth_abi() {
    let plain = RequestFacts {
        escrow: address!("742d35cc6486c8B9bC0cBE34cb8b6Ca7eC440E71"),
        to: address!("3535353535353535353535353535353535353535"),
        value: U256::from(10_u64.pow(18)),
        data: &[],
        chain_id: 31_337,
        request_nonce: U256::ZERO,
    };
    assert_eq!(
        request_hash(&plain),
        b256!("a2754bbbfca76c4371037dfe745fc67acc99d8680c3d0cea44d4e788c6533f82")
    );

    let mut data = vec![0_u8; 68];
    data[..4].copy_from_slice(&[0xa9, 0x05, 0x9c, 0xbb]);
    let extreme = RequestFacts { value: U256::MAX, data: &data, request_nonce: U256::MAX, ..plain };
    assert_eq!(
        request_hash(&extreme),
        b256!("b32895ef438607b29caa546cc14e2df03f0044261dcc4fa42aad377b0755798b")
    );
}
