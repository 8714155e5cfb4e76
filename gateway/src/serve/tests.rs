//! Why a gateway ends.

use super::*;

#[tokio::test]
async fn a_lost_token_stops_the_gateway() {
    let stop = CancellationToken::new();
    assert_eq!(watch_token(|| true, stop.clone()).await, Ended::RestartRequired);
    assert!(stop.is_cancelled());
}

#[tokio::test]
async fn a_gateway_that_is_told_to_stop_does() {
    let stop = CancellationToken::new();
    let watched = tokio::spawn(watch_token(|| false, stop.clone()));
    stop.cancel();
    assert_eq!(watched.await.expect("it does not panic"), Ended::Stopped);
}
