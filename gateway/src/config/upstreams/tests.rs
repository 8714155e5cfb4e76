use super::*;

const ORGANIZATION: &str = "01980f3e-7b1c-7e53-9d0a-0d6a3c1b2f45";

fn upstream(organization: Option<&str>, shared: bool) -> PluginUpstream {
    PluginUpstream { organization: organization.map(str::to_owned), shared, ..PluginUpstream::default() }
}

#[test]
fn who_may_ask_is_said_once() {
    assert_eq!(upstream(None, true).organization().unwrap(), None);
    let one = upstream(Some(ORGANIZATION), false).organization().unwrap();
    assert_eq!(one.map(|id| id.to_string()).as_deref(), Some(ORGANIZATION));
    for (organization, shared, rule) in [
        (None, false, "either `organization`"),
        (Some(ORGANIZATION), true, "either `organization`"),
        (Some("acme"), false, "must be the id of an organization"),
    ] {
        let refused = upstream(organization, shared).organization().unwrap_err().to_string();
        assert!(refused.contains(rule), "{refused}");
    }
}
