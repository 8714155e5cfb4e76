//! What a component may import and must export.

use plugin_host::{FailureCode, Verdict};

use crate::guests::{TestHost, request, source, with_export};

async fn refusal(text: &str) -> (FailureCode, String) {
    let component = source(wat::parse_str(text).unwrap());
    let failure = TestHost::start().host.prepare(component).await.unwrap_err();
    (failure.code, failure.detail)
}

#[tokio::test(flavor = "multi_thread")]
async fn wasi_is_refused_with_the_way_to_build_without_it() {
    let text = r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#;
    let (code, detail) = refusal(text).await;
    assert_eq!(code, FailureCode::ForeignImport);
    assert!(detail.starts_with("the component imports `wasi:cli/environment@0.2.0`: "), "{detail}");
    for way in ["wasm32-unknown-unknown", "disableFeatures", "--stub-wasi"] {
        assert!(detail.contains(way), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_of_other_packages_and_bare_functions_are_refused() {
    for text in [
        r#"(component (import "acme:tools/print@1.0.0" (instance)))"#,
        r#"(component (import "print" (func)))"#,
        r#"(component (import "countersign:policy-evil/log@0.1.0" (instance)))"#,
    ] {
        assert_eq!(refusal(text).await.0, FailureCode::ForeignImport, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interface_of_ours_that_this_version_lacks_is_refused_by_name() {
    let (code, detail) =
        refusal(r#"(component (import "countersign:policy/oracle@0.1.0" (instance)))"#).await;
    assert_eq!(code, FailureCode::ForeignImport);
    assert!(detail.contains("`countersign:policy/oracle@0.1.0`: this gateway does not offer"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn function_that_this_version_lacks_is_refused() {
    let text = r#"(component
        (import "countersign:policy/clock@1.9.0" (instance (export "fresh" (func))))
        (instance $policy)
        (export "countersign:policy/policy@1.9.0" (instance $policy)))"#;
    let (code, detail) = refusal(text).await;
    assert_eq!(code, FailureCode::UnsupportedContract);
    assert!(detail.contains("`fresh`"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_version_of_the_contract_is_refused_and_the_known_ones_are_told() {
    for version in ["0.2.0", "2.0.0"] {
        let text = format!(
            r#"(component
                (import "countersign:policy/types@{version}" (instance))
                (instance $policy)
                (export "countersign:policy/policy@{version}" (instance $policy)))"#
        );
        let (code, detail) = refusal(&text).await;
        assert_eq!(code, FailureCode::UnsupportedContract);
        assert!(detail.contains("this gateway has 1 and 0.1"), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn component_that_exports_no_policy_is_refused() {
    let (code, detail) = refusal("(component)").await;
    assert_eq!(code, FailureCode::UnsupportedContract);
    assert!(detail.contains("does not export `countersign:policy/policy@1.0.0`"), "{detail}");
}

/// An interface that would never come back.
const TRAP_DOOR: &str = r#"(component
    (core module $m (func (export "run") (loop (br 0))))
    (core instance $i (instantiate $m))
    (func (export "run") (canon lift (core func $i "run"))))"#;

#[tokio::test(flavor = "multi_thread")]
async fn exports_beyond_the_contract_are_listed_and_never_called() {
    let host = TestHost::start();
    let more = with_export("hello", "acme:tools/trap-door@1.0.0", TRAP_DOOR);
    let plugin = host.host.prepare(more).await.unwrap();
    let exports = plugin.exports();
    assert!(exports.iter().any(|name| name == "acme:tools/trap-door@1.0.0"), "{exports:?}");
    let evaluation = host.host.evaluate(&plugin, request("{}")).await.unwrap();
    assert_eq!(evaluation.outcome.verdict, Verdict::Abstain);
    assert_eq!(host.host.describe(&plugin).await.unwrap().name, "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn component_that_exports_two_policies_is_refused() {
    for version in ["0.1.0", "1.1.0"] {
        let second = format!("countersign:policy/policy@{version}");
        let two = with_export("hello", &second, "(component)");
        let failure = TestHost::start().host.prepare(two).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::UnsupportedContract, "{failure}");
        for name in [&*format!("`{second}`"), "`countersign:policy/policy@1.0.0`"] {
            assert!(failure.detail.contains(name), "{failure}");
        }
    }
}
