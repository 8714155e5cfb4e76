use plugin_host::Verdict;

use crate::guests::{TestHost, request};

#[tokio::test(flavor = "multi_thread")]
async fn hello_abstains() {
    let host = TestHost::start();
    let hello = host.prepare("hello").await;
    let evaluation = host.host.evaluate(&hello, request("{}")).await.unwrap();
    assert_eq!(evaluation.outcome.verdict, Verdict::Abstain);
    assert_eq!(evaluation.outcome.analysis, "Hello, transaction tx_1.");
}
