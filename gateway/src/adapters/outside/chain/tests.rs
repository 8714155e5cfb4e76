use super::*;

const ADDRESS_TEXT: &str = "0x00000000000000000000000000000000000000bb";

fn read(method: ChainMethod, parameters: &[&str]) -> Result<StateRead, OutsideError> {
    let parameters: Vec<String> = parameters.iter().map(|text| (*text).to_owned()).collect();
    state_read(method, &parameters)
}

#[test]
fn each_method_reads_its_own_parameters() {
    let address: Address = ADDRESS_TEXT.parse().unwrap();
    let slot = format!("0x{}", "07".repeat(32));
    for (method, parameters, expected) in [
        (ChainMethod::GetBalance, vec![ADDRESS_TEXT], StateRead::Balance(address)),
        (ChainMethod::GetTransactionCount, vec![ADDRESS_TEXT], StateRead::TransactionCount(address)),
        (ChainMethod::GetCode, vec![ADDRESS_TEXT], StateRead::Code(address)),
        (
            ChainMethod::GetStorageAt,
            vec![ADDRESS_TEXT, &slot],
            StateRead::Storage { address, slot: B256::repeat_byte(7) },
        ),
        (ChainMethod::Call, vec![ADDRESS_TEXT, "0x"], StateRead::Call { to: address, data: Vec::new() }),
        (
            ChainMethod::Call,
            vec![ADDRESS_TEXT, "0x70a08231"],
            StateRead::Call { to: address, data: vec![0x70, 0xa0, 0x82, 0x31] },
        ),
    ] {
        assert_eq!(read(method, &parameters), Ok(expected), "{parameters:?}");
    }
}

#[test]
fn parameters_that_are_none_are_refused_before_any_node_hears_of_them() {
    let short = &ADDRESS_TEXT[..41];
    for (method, parameters, rule) in [
        (ChainMethod::GetBalance, vec![], "too few or too many parameters"),
        (ChainMethod::GetBalance, vec![ADDRESS_TEXT, "latest"], "too few or too many parameters"),
        (ChainMethod::Call, vec![ADDRESS_TEXT], "too few or too many parameters"),
        (ChainMethod::GetBalance, vec![short], ADDRESS),
        (ChainMethod::GetCode, vec![&ADDRESS_TEXT[2..]], ADDRESS),
        (ChainMethod::GetCode, vec!["0xzz000000000000000000000000000000000000bb"], ADDRESS),
        (ChainMethod::GetStorageAt, vec![ADDRESS_TEXT, "0x0"], "a slot is"),
        (ChainMethod::Call, vec![ADDRESS_TEXT, "70a08231"], "data are"),
        (ChainMethod::Call, vec![ADDRESS_TEXT, "0x70a"], "data are"),
    ] {
        let refused = read(method, &parameters).unwrap_err();
        assert_eq!(refused.code, FailureCode::ChainRefused, "{parameters:?}");
        let expected = format!("`{}`: {rule}", method.as_str());
        assert!(refused.detail.starts_with(&expected), "{parameters:?}: {}", refused.detail);
    }
}

#[test]
fn a_block_is_shown_with_its_hash_in_lower_case() {
    let block = BlockRef { number: 7, hash: B256::repeat_byte(0xab), timestamp: 9 };
    assert_eq!(
        shown(&block),
        PinnedBlock { number: 7, hash: format!("0x{}", "ab".repeat(32)), timestamp: 9 }
    );
}
