use countersign_plugin::{Call, Ceilings};

use super::*;

const TOKEN: &str = "0x00000000000000000000000000000000000000cc";

fn transaction(recipient: Option<&str>, call: Option<Call>) -> Verified {
    Verified {
        organization_id: "org_1".to_owned(),
        transaction_id: "tx_1".to_owned(),
        initiator_id: "agent_1".to_owned(),
        owner_id: "user_1".to_owned(),
        created_at_ms: 1_800_000_000_000,
        key_id: "key_1".to_owned(),
        provider: "hsm".to_owned(),
        chain: "eip155:1".to_owned(),
        kind: "transfer".to_owned(),
        sender: "0x00000000000000000000000000000000000000aa".to_owned(),
        recipient: recipient.map(str::to_owned),
        value: "5".to_owned(),
        data: Vec::new(),
        call,
        ceilings: Ceilings {
            gas_limit: None,
            fee_per_gas: None,
            priority_fee_per_gas: None,
            total_fee: None,
        },
        approvals: Vec::new(),
        transactions_to_recipient: 0,
        extra: Vec::new(),
    }
}

fn call(function: Option<&str>, values: &[&str]) -> Call {
    let argument =
        |value: &&str| Argument { name: String::new(), abi_type: String::new(), value: (*value).to_owned() };
    Call {
        selector: "0x00000000".to_owned(),
        function: function.map(str::to_owned),
        arguments: values.iter().map(argument).collect(),
    }
}

fn moved(amount: &str, recipient: &str) -> Movement {
    Movement { amount: amount.to_owned(), recipient: recipient.to_owned() }
}

#[test]
fn the_chains_coin_moves_to_the_recipient() {
    assert_eq!(Movement::of(&transaction(Some("0xbb"), None), None), Ok(Some(moved("5", "0xbb"))));
    assert_eq!(Movement::of(&transaction(None, None), None), Ok(Some(moved("5", ""))));
}

#[test]
fn a_token_moves_to_whom_the_call_names() {
    let transfer = call(Some("transfer(address,uint256)"), &["0xBB", "70"]);
    assert_eq!(
        Movement::of(&transaction(Some(TOKEN), Some(transfer)), Some(TOKEN)),
        Ok(Some(moved("70", "0xbb")))
    );
    let from = call(Some("transferFrom(address,address,uint256)"), &["0xaa", "0xbb", "71"]);
    assert_eq!(
        Movement::of(&transaction(Some(TOKEN), Some(from)), Some(TOKEN)),
        Ok(Some(moved("71", "0xbb")))
    );
}

#[test]
fn another_contract_is_not_the_limits_business() {
    let transfer = call(Some("transfer(address,uint256)"), &["0xbb", "70"]);
    assert_eq!(Movement::of(&transaction(Some("0xdd"), Some(transfer)), Some(TOKEN)), Ok(None));
    assert_eq!(Movement::of(&transaction(None, None), Some(TOKEN)), Ok(None));
}

#[test]
fn a_call_to_the_token_that_is_no_transfer_has_no_known_amount() {
    for call in [
        Some(call(Some("approve(address,uint256)"), &["0xbb", "70"])),
        Some(call(None, &[])),
        Some(call(Some("transfer(address,uint256)"), &[])),
        None,
    ] {
        assert!(Movement::of(&transaction(Some(TOKEN), call), Some(TOKEN)).is_err());
    }
}
