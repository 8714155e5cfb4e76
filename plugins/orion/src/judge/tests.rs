use countersign_plugin::{Call, Ceilings, Outcome, Verdict, Verified};

use super::judge;
use crate::settings::Settings;
use crate::token_call::tests::approve;

const RECIPIENT: &str = "0x00000000000000000000000000000000000000bb";

/// Half a coin to a recipient that is known.
fn transfer() -> Verified {
    Verified {
        organization_id: "org".to_owned(),
        transaction_id: "tx".to_owned(),
        initiator_id: "agent_1".to_owned(),
        owner_id: "user_1".to_owned(),
        created_at_ms: 1_800_000_000_000,
        key_id: "key".to_owned(),
        provider: "hsm".to_owned(),
        chain: "eip155:1".to_owned(),
        kind: "transfer".to_owned(),
        sender: "0x00000000000000000000000000000000000000aa".to_owned(),
        recipient: Some(RECIPIENT.to_owned()),
        value: "500000000000000000".to_owned(),
        data: Vec::new(),
        call: None,
        ceilings: Ceilings {
            gas_limit: Some(21_000),
            fee_per_gas: None,
            priority_fee_per_gas: None,
            total_fee: Some("1000000000000000".to_owned()),
        },
        approvals: Vec::new(),
        transactions_to_recipient: 1,
        extra: Vec::new(),
    }
}

fn calling(data: Vec<u8>) -> Verified {
    let selector = data.iter().take(4).fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"));
    let call = Call { selector, function: None, arguments: Vec::new() };
    Verified { data, call: Some(call), value: "0".to_owned(), kind: "contract-call".to_owned(), ..transfer() }
}

fn judged(verified: &Verified, settings: &str) -> Outcome {
    judge(verified, &Settings::parse(settings).unwrap())
}

#[track_caller]
fn assert_judged(verified: &Verified, settings: &str, verdict: &str, reason: &str, confidence: u32) {
    let outcome = judged(verified, settings);
    let name = match outcome.verdict {
        Verdict::Approve => "approve",
        Verdict::Reject => "reject",
        Verdict::Abstain => "abstain",
        Verdict::NeedApprovals(_) => "need approvals",
        Verdict::Other(_) => "other",
    };
    assert_eq!((name, outcome.reason_code.as_str(), outcome.confidence_ppm), (verdict, reason, confidence));
}

#[test]
fn a_plain_transfer_is_approved() {
    assert_judged(&transfer(), "{}", "approve", "no_findings", 1_000_000);
}

#[test]
fn the_deny_list_rejects_recipients_in_any_case() {
    let settings = format!(r#"{{"denyList":["{}"]}}"#, RECIPIENT.to_uppercase().replace("0X", "0x"));
    assert_judged(&transfer(), &settings, "reject", "denied_address", 1_000_000);
}

#[test]
fn the_deny_list_rejects_spenders_in_call_data() {
    let settings = format!(r#"{{"denyList":["0x{}"]}}"#, "cd".repeat(20));
    assert_judged(&calling(approve(0xcd, [0; 32])), &settings, "reject", "denied_address", 1_000_000);
}

#[test]
fn a_value_at_the_limit_passes_and_one_above_it_is_rejected() {
    assert_judged(&transfer(), r#"{"valueLimit":"500000000000000000"}"#, "approve", "no_findings", 1_000_000);
    assert_judged(
        &transfer(),
        r#"{"valueLimit":"499999999999999999"}"#,
        "reject",
        "value_over_limit",
        1_000_000,
    );
}

#[test]
fn a_fee_without_ceiling_is_above_any_limit() {
    let mut unbounded = transfer();
    assert_judged(&unbounded, r#"{"feeLimit":"1000000000000000"}"#, "approve", "no_findings", 1_000_000);
    unbounded.ceilings.total_fee = None;
    assert_judged(&unbounded, r#"{"feeLimit":"1000000000000000"}"#, "reject", "fee_over_limit", 1_000_000);
}

#[test]
fn an_unlimited_allowance_is_rejected_unless_settings_say_otherwise() {
    let unlimited = calling(approve(0xcd, [0xff; 32]));
    assert_judged(&unlimited, "{}", "reject", "unlimited_allowance", 1_000_000);
    assert_judged(&unlimited, r#"{"unlimitedAllowance":"doubt"}"#, "abstain", "unlimited_allowance", 500_000);
    assert_judged(&unlimited, r#"{"unlimitedAllowance":"ignore"}"#, "approve", "no_findings", 1_000_000);
}

#[test]
fn a_malformed_token_call_is_rejected() {
    assert_judged(&calling(vec![0x09, 0x5e, 0xa7, 0xb3, 1]), "{}", "reject", "malformed_call", 1_000_000);
}

#[test]
fn an_unknown_selector_is_doubtful() {
    assert_judged(&calling(vec![1, 2, 3, 4]), "{}", "abstain", "unknown_selector", 650_000);
    assert_judged(
        &calling(vec![1, 2, 3, 4]),
        r#"{"unknownSelector":"reject"}"#,
        "reject",
        "unknown_selector",
        1_000_000,
    );
}

#[test]
fn contract_creation_is_doubtful() {
    let creation = Verified { recipient: None, ..calling(vec![0x60]) };
    assert_judged(&creation, "{}", "abstain", "contract_creation", 600_000);
}

#[test]
fn value_to_a_new_recipient_costs_confidence_above_its_threshold() {
    let first = Verified { transactions_to_recipient: 0, ..transfer() };
    assert_judged(&first, "{}", "approve", "new_recipient", 750_000);
    assert_judged(
        &first,
        r#"{"newRecipientValue":"500000000000000000"}"#,
        "approve",
        "no_findings",
        1_000_000,
    );
}

#[test]
fn an_allow_list_makes_others_doubtful() {
    let settings = |address: &str| format!(r#"{{"allowList":["{address}"],"unlistedRecipient":"reject"}}"#);
    assert_judged(&transfer(), &settings(RECIPIENT), "approve", "no_findings", 1_000_000);
    let other = format!("0x{}", "11".repeat(20));
    assert_judged(&transfer(), &settings(&other), "reject", "unlisted_recipient", 1_000_000);
}

#[test]
fn doubts_add_up_to_a_rejection() {
    let doubtful =
        Verified { transactions_to_recipient: 0, value: "1".to_owned(), ..calling(vec![1, 2, 3, 4]) };
    assert_judged(&doubtful, r#"{"rejectBelow":500000}"#, "reject", "unknown_selector", 600_000);
}

#[test]
fn between_the_thresholds_a_review_role_is_asked() {
    assert_judged(
        &calling(vec![1, 2, 3, 4]),
        r#"{"reviewRole":"arbiter"}"#,
        "need approvals",
        "unknown_selector",
        650_000,
    );
}

#[test]
fn the_zero_address_is_a_burn() {
    let burn = Verified { recipient: Some(format!("0x{}", "0".repeat(40))), ..transfer() };
    assert_judged(&burn, "{}", "reject", "burn", 1_000_000);
}

#[test]
fn an_amount_that_cannot_be_read_is_rejected() {
    let odd = Verified { value: "0x10".to_owned(), ..transfer() };
    assert_judged(&odd, "{}", "reject", "unreadable_amount", 1_000_000);
}

#[test]
fn other_chains_are_refused_or_left_to_others() {
    assert_judged(&transfer(), r#"{"chains":["eip155:10"]}"#, "reject", "chain_not_allowed", 1_000_000);
    let bitcoin = Verified { chain: "bip122:000000000019d6689c085ae165831e93".to_owned(), ..transfer() };
    assert_judged(&bitcoin, "{}", "abstain", "not_evm", 0);
}

#[test]
fn the_analysis_reads_as_sentences() {
    let settings = format!(r#"{{"denyList":["{RECIPIENT}"]}}"#);
    assert_eq!(
        judged(&transfer(), &settings).analysis,
        format!(
            "Sends 0.5 coins to {RECIPIENT} on eip155:1. Rejected: {RECIPIENT} is on the deny list. Safety score 0.000."
        )
    );
}
