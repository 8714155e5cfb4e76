use std::future::{pending, ready};

use super::*;

#[test]
fn an_answer_that_does_not_come_is_waited_for_until_the_deadline() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    assert_eq!(wait(runtime.handle(), Instant::now(), pending::<()>()), None);
    assert_eq!(wait(runtime.handle(), Instant::now(), ready(7)), Some(7));
}
