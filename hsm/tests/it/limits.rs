use std::{num::NonZeroUsize, time::Duration};

use crate::{
    harness::{generate, isolated, pair, sign, soon, spec, taken, until, without_canaries},
    remote::remote,
};
use hsm::{Hsm, HsmError, KeyAlgorithm, KeyUsage, Lane, RsaDecryption, SignatureScheme};

#[test]
fn a_full_lane_refuses_while_others_go_on() {
    isolated("limits::a_full_lane_refuses_while_others_go_on", async |bench| {
        let (server, hsm) = remote(&bench, |config| {
            without_canaries(config);
            config.timeouts.sign = Duration::from_secs(20);
            config.queue_bounds.generate = NonZeroUsize::MIN;
        })
        .await;
        let key = generate(&hsm, 100, KeyAlgorithm::Secp256k1).await;
        server.signal("STOP");
        let first = taken(&hsm, Lane::Generate, pair(&hsm, 1)).await;
        let second = tokio::spawn(pair(&hsm, 2));
        until("the lane is full", || hsm.status().queue_depths.contains(&(Lane::Generate, 1))).await;
        let refused = pair(&hsm, 3).await;
        assert!(matches!(refused, Err(HsmError::Busy { lane: Lane::Generate })), "{refused:?}");
        let copy = hsm.clone();
        let signature = taken(&hsm, Lane::Sign, async move { sign(&copy, &key).await }).await;
        server.signal("CONT");
        signature.await.unwrap().unwrap();
        first.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
        hsm.shutdown().await;
        server.kill();
    });
}

#[test]
fn generation_that_comes_too_late_is_adopted_later() {
    isolated("limits::generation_that_comes_too_late_is_adopted_later", async |bench| {
        let (server, hsm) = remote(&bench, |config| {
            without_canaries(config);
            config.timeouts.generate = Duration::from_secs(3);
        })
        .await;
        let made = hsm.status().counters.generate_calls;
        let late = tokio::spawn({
            let hsm = hsm.clone();
            async move { hsm.generate(spec(1, KeyAlgorithm::Rsa4096)).await }
        });
        // A pair of this size takes the token about a second.
        until("it is being made", || hsm.status().counters.generate_calls == made + 1).await;
        server.signal("STOP");
        let result = late.await.unwrap();
        assert!(matches!(result, Err(HsmError::DeadlineExceeded { .. })), "{result:?}");
        server.signal("CONT");
        // The thread was written off, its result thrown away, and nothing is left stuck.
        until("the late result is dropped", || hsm.status().counters.late_results == 1).await;
        until("no thread is stuck", || hsm.status().stuck_threads == 0).await;
        hsm.shutdown().await;
        server.kill();
        let hsm = Hsm::start(bench.config()).await.unwrap();
        let key = generate(&hsm, 1, KeyAlgorithm::Rsa4096).await;
        assert_eq!(hsm.status().counters.generate_calls, 0, "the pair was adopted");
        let signed = hsm.sign_message(&key, SignatureScheme::RsaPssSha256, b"m", Lane::Sign, soon()).await;
        assert_eq!(signed.unwrap().len(), 512);
        hsm.shutdown().await;
    });
}

#[test]
fn a_decryption_that_comes_too_late_is_refused() {
    isolated("limits::a_decryption_that_comes_too_late_is_refused", async |bench| {
        let hsm = bench.start_with(|config| config.timeouts.decrypt = Duration::ZERO).await;
        let mut decryption = spec(1, KeyAlgorithm::Rsa2048);
        decryption.usage = KeyUsage::Decrypt;
        let key = hsm.generate(decryption).await.unwrap();
        let refused = hsm.decrypt_rsa(&key, RsaDecryption::Pkcs1v15, &[1; 256]).await;
        assert!(matches!(refused, Err(HsmError::DeadlineExceeded { .. })), "{refused:?}");
        let signing = generate(&hsm, 2, KeyAlgorithm::Secp256k1).await;
        sign(&hsm, &signing).await.unwrap();
        hsm.shutdown().await;
    });
}

#[test]
fn every_operation_is_counted_and_timed() {
    isolated("limits::every_operation_is_counted_and_timed", async |bench| {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().unwrap();
        let hsm = bench.start_with(|config| config.canary_interval = Duration::from_millis(20)).await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        sign(&hsm, &key).await.unwrap();
        let expired = hsm.sign_digest(&key, &[7; 32], Lane::Sign, std::time::Instant::now()).await;
        assert!(matches!(expired, Err(HsmError::Expired)));
        until("a canary is counted", || recorder.render().contains("operation=\"canary\"")).await;
        let text = recorder.render();
        for expected in [
            "countersign_hsm_operations_total{operation=\"sign_digest\",outcome=\"ok\"} 1",
            "countersign_hsm_operations_total{operation=\"sign_digest\",outcome=\"load\"} 1",
            "countersign_hsm_operation_seconds_count{operation=\"sign_digest\"} 2",
            "countersign_hsm_state 2",
            "countersign_hsm_queue_depth{lane=\"sign\"} 0",
        ] {
            assert!(text.contains(expected), "`{expected}` is missing in\n{text}");
        }
        hsm.shutdown().await;
        assert!(recorder.render().contains("countersign_hsm_state 0"));
    });
}

#[test]
fn messages_above_the_limit_are_refused() {
    isolated("limits::messages_above_the_limit_are_refused", async |bench| {
        let hsm = bench.start_with(|config| config.message_bytes_max = 64).await;
        let key = generate(&hsm, 1, KeyAlgorithm::Ed25519).await;
        let sign = |message: Vec<u8>| {
            let (hsm, key) = (&hsm, &key);
            async move { hsm.sign_message(key, SignatureScheme::Ed25519, &message, Lane::Sign, soon()).await }
        };
        sign(vec![0; 64]).await.unwrap();
        assert!(matches!(sign(vec![0; 65]).await, Err(HsmError::InvalidInput(_))));
        hsm.shutdown().await;
    });
}

#[test]
fn a_caller_that_went_away_costs_the_token_nothing() {
    isolated("limits::a_caller_that_went_away_costs_the_token_nothing", async |bench| {
        let (server, hsm) = remote(&bench, without_canaries).await;
        let made = hsm.status().counters.generate_calls;
        server.signal("STOP");
        let first = taken(&hsm, Lane::Generate, pair(&hsm, 1)).await;
        let second = tokio::spawn(pair(&hsm, 2));
        until("the second waits", || hsm.status().queue_depths.contains(&(Lane::Generate, 1))).await;
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        server.signal("CONT");
        first.await.unwrap().unwrap();
        until("the second is dropped", || hsm.status().counters.stale_jobs == 1).await;
        assert_eq!(hsm.status().counters.generate_calls, made + 1);
        hsm.shutdown().await;
        server.kill();
    });
}

#[test]
fn whoever_dropped_the_handle_has_left_the_module() {
    isolated("limits::whoever_dropped_the_handle_has_left_the_module", async |bench| {
        drop(bench.start().await);
        // A module that is still initialized, or finalized meanwhile, refuses the next start.
        for _ in 0..20 {
            let mut config = bench.config();
            config.start_attempts = 1;
            drop(Hsm::start(config).await.unwrap());
        }
    });
}
