//! One fault per rung of the recovery ladder, made by a second user of the same module in the same process.

use std::time::Instant;

use cryptoki::object::ObjectClass;
use hsm::{HsmError, KeyAlgorithm, Lane, State};

use crate::harness::{Raw, SOFTHSM, generate, isolated, only, sign, soon, spec, until, until_state};

#[test]
fn closed_sessions_are_replaced_and_the_application_logged_in_again() {
    isolated("faults::closed_sessions_are_replaced_and_the_application_logged_in_again", async |bench| {
        let hsm = bench.start_with(|config| config.session_threads = 1).await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        let raw = Raw::softhsm();
        for round in 1..=3 {
            close_all_sessions(&raw);
            sign(&hsm, &key).await.unwrap();
            let status = hsm.status();
            assert_eq!((status.state, status.generation), (State::Ready, 1));
            assert!(status.counters.sessions_replaced >= round, "{status:?}");
            assert_eq!(status.counters.login_calls, round + 1);
        }
        hsm.shutdown().await;
    });
}

#[test]
fn a_logged_out_application_logs_in_and_finds_its_keys_again() {
    isolated("faults::a_logged_out_application_logs_in_and_finds_its_keys_again", async |bench| {
        let hsm = bench.start().await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        sign(&hsm, &key).await.unwrap();
        let (raw, epoch) = (Raw::softhsm(), hsm.status().epoch);
        raw.session().logout().unwrap();
        sign(&hsm, &key).await.unwrap();
        let status = hsm.status();
        assert_eq!((status.state, status.generation, status.counters.login_calls), (State::Ready, 1, 2));
        assert_eq!(status.epoch, epoch + 1);
        // Many threads that fail together share one log-in and one scan.
        let scans = status.counters.scans;
        raw.session().logout().unwrap();
        let signed = futures_of(16, || sign(&hsm, &key)).await;
        assert!(signed.into_iter().all(|result| result.is_ok()));
        let status = hsm.status();
        assert_eq!(
            (status.counters.login_calls, status.epoch, status.counters.scans),
            (3, epoch + 2, scans + 1)
        );
        // A look-up while logged out sees public objects only, and must not take that for a broken key.
        raw.session().logout().unwrap();
        hsm.public_key(&key).await.unwrap();
        // Nor may it generate a second pair.
        raw.session().logout().unwrap();
        assert_eq!(hsm.generate(spec(1, KeyAlgorithm::Secp256k1)).await.unwrap(), key);
        hsm.shutdown().await;
    });
}

#[test]
fn a_stale_handle_is_found_again() {
    isolated("faults::a_stale_handle_is_found_again", async |bench| {
        let hsm = bench.start().await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        sign(&hsm, &key).await.unwrap();
        let raw = Raw::softhsm();
        let session = raw.session();
        session.destroy_object(only(&session, ObjectClass::PRIVATE_KEY, 1)).unwrap();
        session.destroy_object(only(&session, ObjectClass::PUBLIC_KEY, 1)).unwrap();
        let result = sign(&hsm, &key).await;
        assert!(matches!(result, Err(HsmError::KeyNotFound { .. })), "{result:?}");
        let status = hsm.status();
        assert_eq!((status.state, status.counters.breaker_opened), (State::Ready, 0));
        hsm.shutdown().await;
    });
}

#[test]
fn an_operation_left_open_costs_only_the_session() {
    isolated("faults::an_operation_left_open_costs_only_the_session", async |bench| {
        let hsm = bench.start().await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        sign(&hsm, &key).await.unwrap();
        let raw = Raw::softhsm();
        let session = raw.session();
        let private = only(&session, ObjectClass::PRIVATE_KEY, 1);
        open_operation_in_sessions_below(session.handle(), private.handle());
        for _ in 0..8 {
            sign(&hsm, &key).await.unwrap();
        }
        let status = hsm.status();
        assert!(status.counters.sessions_replaced >= 1, "{status:?}");
        assert_eq!((status.state, status.counters.breaker_opened), (State::Ready, 0));
        hsm.shutdown().await;
    });
}

#[test]
fn a_token_directory_that_goes_and_comes_back_is_taken_up_again() {
    isolated("faults::a_token_directory_that_goes_and_comes_back_is_taken_up_again", async |bench| {
        let hsm = bench.start().await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        let away = bench.directory.join("away");
        std::fs::rename(&bench.softhsm.tokens, &away).unwrap();
        let result = sign(&hsm, &key).await;
        assert!(matches!(result, Err(HsmError::Unavailable { .. })), "{result:?}");
        until("a cause that names the token", || {
            let cause = hsm.status().cause;
            cause.is_some_and(|cause| cause.text.contains("countersign test") || cause.return_code.is_some())
        })
        .await;
        assert!(!hsm.is_ready());
        // With the token gone a new key must not be made, whatever `find` says.
        let result = hsm.generate(spec(2, KeyAlgorithm::Secp256k1)).await;
        assert!(matches!(result, Err(HsmError::Unavailable { .. })), "{result:?}");
        if bench.softhsm.tokens.exists() {
            std::fs::remove_dir_all(&bench.softhsm.tokens).unwrap();
        }
        std::fs::rename(&away, &bench.softhsm.tokens).unwrap();
        until_state(&hsm, State::Ready).await;
        let signature = sign(&hsm, &key).await.unwrap();
        assert!(signature.recovery_id.is_some());
        assert!(hsm.status().generation >= 2);
        hsm.shutdown().await;
    });
}

#[test]
fn a_lost_canary_opens_the_breaker_after_several_failures() {
    isolated("faults::a_lost_canary_opens_the_breaker_after_several_failures", async |bench| {
        let hsm = bench
            .start_with(|config| {
                config.canary_interval = std::time::Duration::from_millis(50);
                config.canary_failures_max = 3;
            })
            .await;
        let first = hsm.status().last_canary.unwrap();
        until("canaries go on", || hsm.status().last_canary.unwrap().at > first.at).await;
        let away = bench.directory.join("away");
        std::fs::rename(&bench.softhsm.tokens, &away).unwrap();
        until("a canary fails", || hsm.status().last_canary.unwrap().failure.is_some()).await;
        until_state(&hsm, State::Degraded).await;
        assert!(!hsm.is_ready());
        hsm.shutdown().await;
    });
}

#[test]
fn a_second_start_in_the_process_is_refused_and_harms_nothing() {
    isolated("faults::a_second_start_in_the_process_is_refused_and_harms_nothing", async |bench| {
        let hsm = bench.start().await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        let mut config = bench.config();
        config.start_attempts = 1;
        let second = hsm::Hsm::start(config).await.err().unwrap();
        assert!(second.to_string().contains("CKR_CRYPTOKI_ALREADY_INITIALIZED"), "{second}");
        sign(&hsm, &key).await.unwrap();
        hsm.shutdown().await;
        assert_eq!(hsm.status().state, State::Down);
        let result = hsm.sign_digest(&key, &[1; 32], Lane::Sign, soon()).await;
        assert!(matches!(result, Err(HsmError::Unavailable { state: State::Down, .. })), "{result:?}");
    });
}

#[test]
fn readiness_follows_the_age_of_the_canary() {
    isolated("faults::readiness_follows_the_age_of_the_canary", async |bench| {
        let hsm = bench.start().await;
        let status = hsm.status();
        let succeeded = status.last_canary_success.unwrap();
        let stale_after = bench.config().canary_stale_after;
        assert!(status.is_ready(succeeded + stale_after, stale_after));
        let late = succeeded + stale_after + std::time::Duration::from_millis(1);
        assert!(!status.is_ready(late, stale_after));
        assert!(succeeded <= Instant::now());
        hsm.shutdown().await;
    });
}

async fn futures_of<F: Future>(count: usize, mut make: impl FnMut() -> F) -> Vec<F::Output> {
    let mut pending: Vec<_> = (0..count).map(|_| Box::pin(make())).collect();
    let mut outputs = Vec::new();
    std::future::poll_fn(|context| {
        pending.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                outputs.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if pending.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    outputs
}

fn close_all_sessions(raw: &Raw) {
    #[expect(unsafe_code, reason = "cryptoki does not wrap `C_CloseAllSessions`")]
    let code = unsafe {
        let module = cryptoki_sys::Pkcs11::new(SOFTHSM).unwrap();
        module.C_CloseAllSessions(raw.slot.id())
    };
    assert_eq!(code, cryptoki_sys::CKR_OK);
}

/// Begins a signature in every session that has a lower number, which no owner of those sessions will end.
fn open_operation_in_sessions_below(session: u64, key: u64) {
    #[expect(unsafe_code, reason = "cryptoki gives no access to another owner's session")]
    let begun = unsafe {
        let module = cryptoki_sys::Pkcs11::new(SOFTHSM).unwrap();
        (1..session)
            .filter(|&other| {
                let mut mechanism = cryptoki_sys::CK_MECHANISM {
                    mechanism: cryptoki_sys::CKM_ECDSA,
                    pParameter: std::ptr::null_mut(),
                    ulParameterLen: 0,
                };
                module.C_SignInit(other, &raw mut mechanism, key) == cryptoki_sys::CKR_OK
            })
            .count()
    };
    assert!(begun >= 2, "anchor and at least one session thread: {begun}");
}
