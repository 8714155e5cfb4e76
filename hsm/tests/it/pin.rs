use hsm::{Hsm, HsmConfig, HsmError, State, clear_pin_latch};

use crate::{
    harness::{Bench, SPY, isolated, pin},
    signing::count_calls,
};

fn spied(bench: &Bench) -> HsmConfig {
    let mut config = bench.config();
    config.module = SPY.into();
    config
}

async fn assert_latched(config: &HsmConfig) {
    let error = Hsm::start(config.clone()).await.err().expect("a latched pin does not start");
    assert!(matches!(error, HsmError::PinLatched(_)), "{error:?}");
}

#[test]
fn a_wrong_pin_is_sent_once_in_ten_starts_of_two_gateways() {
    isolated("pin::a_wrong_pin_is_sent_once_in_ten_starts_of_two_gateways", async |bench| {
        bench.provision();
        let log = bench.directory.join("spy.log");
        let mut wrong = spied(&bench);
        wrong.pin = pin("wrong-pin");
        for _ in 0..10 {
            assert_latched(&wrong).await;
        }
        // A gateway on another host has no record of it, but the token's own flags.
        let mut elsewhere = wrong.clone();
        elsewhere.pin_record_path = bench.directory.join("another-record");
        assert_latched(&elsewhere).await;
        // Also with the right PIN, until an operator says so.
        let right = spied(&bench);
        assert_latched(&right).await;
        assert_eq!(count_calls(&log, "C_Login"), 1);
        let record = std::fs::read_to_string(&right.pin_record_path).unwrap();
        assert_eq!(record, "refused C_Login returned CKR_PIN_INCORRECT\n");

        clear_pin_latch(&right.pin_record_path).unwrap();
        assert_latched(&wrong).await;
        assert_latched(&wrong).await;
        assert_eq!(count_calls(&log, "C_Login"), 2, "clearing allows one attempt");

        clear_pin_latch(&right.pin_record_path).unwrap();
        for _ in 0..2 {
            let hsm = Hsm::start(right.clone()).await.unwrap();
            assert!(!right.pin_record_path.exists(), "success clears the record");
            hsm.shutdown().await;
        }
    });
}

#[test]
fn log_ins_without_known_outcome_are_limited() {
    isolated("pin::log_ins_without_known_outcome_are_limited", async |bench| {
        bench.provision();
        let log = bench.directory.join("spy.log");
        let config = spied(&bench);
        assert_eq!(config.pin_unresolved_max, 2);
        for record in ["unresolved 2\n", "damaged"] {
            std::fs::write(&config.pin_record_path, record).unwrap();
            assert_latched(&config).await;
        }
        assert_eq!(count_calls(&log, "C_Login"), 0);
        std::fs::write(&config.pin_record_path, "unresolved 1\n").unwrap();
        let hsm = Hsm::start(config.clone()).await.unwrap();
        assert_eq!(count_calls(&log, "C_Login"), 1);
        hsm.shutdown().await;
    });
}

#[test]
fn a_pin_that_goes_wrong_while_running_latches() {
    isolated("pin::a_pin_that_goes_wrong_while_running_latches", async |bench| {
        let hsm = bench.start().await;
        let key = crate::harness::generate(&hsm, 1, hsm::KeyAlgorithm::Secp256k1).await;
        let raw = crate::harness::Raw::softhsm();
        let session = raw.session();
        let (old, new) = (crate::harness::PIN.to_owned().into(), "changed-pin".to_owned().into());
        session.set_pin(&old, &new).unwrap();
        session.logout().unwrap();
        for _ in 0..5 {
            let result = crate::harness::sign(&hsm, &key).await;
            let latched = matches!(result, Err(HsmError::PinLatched(_) | HsmError::Unavailable { .. }));
            assert!(latched, "{result:?}");
        }
        let status = hsm.status();
        assert_eq!((status.state, status.counters.login_calls), (State::PinLatched, 2));
        assert!(status.cause.unwrap().return_code.unwrap().contains("CKR_PIN_INCORRECT"));
        hsm.shutdown().await;
    });
}

#[test]
fn a_start_waits_for_the_lock_of_another_and_no_longer_than_allowed() {
    isolated("pin::a_start_waits_for_the_lock_of_another_and_no_longer_than_allowed", async |bench| {
        bench.provision();
        let mut config = bench.config();
        config.lock_timeout = std::time::Duration::from_millis(100);
        config.start_attempts = 1;
        let held = std::fs::File::create(&config.lock_path).unwrap();
        held.lock().unwrap();
        let error = Hsm::start(config.clone()).await.err().unwrap();
        assert!(matches!(error, HsmError::File { .. }), "{error:?}");
        drop(held);
        Hsm::start(config).await.unwrap().shutdown().await;
    });
}

#[test]
fn another_token_is_named_by_label_and_serial() {
    isolated("pin::another_token_is_named_by_label_and_serial", async |bench| {
        bench.provision();
        let mut config = bench.config();
        config.start_attempts = 2;
        config.token_label = "another token".into();
        let error = Hsm::start(config).await.err().unwrap();
        assert!(matches!(error, HsmError::TokenNotFound { .. }), "{error:?}");
        let hsm = Hsm::start(bench.config()).await.unwrap();
        let facts = hsm.doctor_facts().await.unwrap();
        assert_eq!(facts.token_label, "countersign test");
        assert!(facts.self_tests.iter().all(|(_, outcome)| outcome.is_ok()), "{facts:?}");
        hsm.shutdown().await;
        let mut config = bench.config();
        config.start_attempts = 1;
        config.token_serial = Some(facts.token_serial);
        Hsm::start(config.clone()).await.unwrap().shutdown().await;
        config.token_serial = Some("0000".into());
        assert!(matches!(Hsm::start(config).await, Err(HsmError::TokenNotFound { .. })));
    });
}

#[test]
fn the_environment_is_not_changed_under_other_threads() {
    let directory = tempfile::tempdir().unwrap();
    let paths = hsm::write_softhsm_config(directory.path()).unwrap();
    std::thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || receiver.recv());
        assert!(matches!(hsm::export_softhsm_config(&paths), Err(HsmError::InvalidInput(_))));
        drop(sender);
    });
}
