use alloy_primitives::{address, b256, hex};

use super::*;

/// Expected call data from the contract's ABI through npm ethers 6.
#[test]
fn calls_are_encoded_by_the_contracts_abi() {
    let register = RegistryCall::Register {
        account: address!("742d35cc6486c8B9bC0cBE34cb8b6Ca7eC440E71"),
        fingerprint: "EAC6B737AA308A45DF56E7B078044F2E6D0CEA78".parse().unwrap(),
    };
    assert_eq!(
        register.data(),
        hex!(
            "67de3d53000000000000000000000000742d35cc6486c8b9bc0cbe34cb8b6ca7ec440e71"
            "eac6b737aa308a45df56e7b078044f2e6d0cea78000000000000000000000000"
        )
    );
    let submit = RegistryCall::Submit {
        request_hash: b256!("7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069"),
        cid_digest: b256!("b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"),
        verification_service: 3,
    };
    assert_eq!(
        submit.data(),
        hex!(
            "76bd204f7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069"
            "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
            "0000000000000000000000000000000000000000000000000000000000000003"
        )
    );
}
