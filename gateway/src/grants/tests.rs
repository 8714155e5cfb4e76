use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;

fn refusal(grant: &str) -> String {
    let none = Upstreams::new(BTreeMap::new());
    let organization = OrganizationId::from_uuid(Uuid::from_u128(1));
    faults(&BTreeSet::from([grant.to_owned()]), &none, organization).next().unwrap()
}

#[test]
fn a_grant_that_would_grant_nothing_is_refused_with_what_could_be_granted() {
    assert!(refusal("sate").starts_with("`sate` is not a capability; there are `log`, `settings`, `state`"));
    assert!(refusal("log:x").starts_with("`log:x` is not a capability"));
    assert!(refusal("http").contains("`http:NAME`"));
    assert!(refusal("http:screening").contains("has no `screening` for this organization"));
    assert!(refusal("chain:eth_sendRawTransaction").contains("there are `eth_getBalance`"));
}

#[test]
fn each_upstream_and_each_method_is_granted_by_itself() {
    let grants =
        BTreeSet::from(["log", "http:screening", "chain:eth_call", "state:x", "clocks"].map(str::to_owned));
    let granted = Granted::of(&grants);
    let capabilities: Vec<_> = granted.capabilities().iter().collect();
    assert_eq!(capabilities, [Capability::Log, Capability::Http, Capability::Chain]);
    assert!(granted.upstream("screening") && !granted.upstream("screen") && !granted.upstream(""));
    assert!(granted.method(ChainMethod::Call) && !granted.method(ChainMethod::GetCode));
}
