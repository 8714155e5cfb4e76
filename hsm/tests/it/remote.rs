//! SoftHSM behind a p11-kit server: a token that can hang and die like one on a network.

use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hsm::{Hsm, HsmConfig, HsmError, KeyAlgorithm, Lane, State};

use crate::harness::{
    Bench, SOFTHSM, generate, isolated, pair, sign, taken, until, until_state, without_canaries,
};

const CLIENT: &str = "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so";

pub(crate) struct Server {
    process: Child,
    socket: PathBuf,
}

impl Server {
    pub(crate) async fn start(bench: &Bench) -> Self {
        let socket = bench.directory.join("p11-kit.socket");
        let process = Command::new("/usr/libexec/p11-kit/p11-kit-server")
            .args(["--foreground", "--provider", SOFTHSM, "--name"])
            .arg(&socket)
            .arg("pkcs11:token=countersign%20test")
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let server = Self { process, socket };
        until("the server listens", || server.socket.exists()).await;
        server
    }

    /// To the server and the process it forked for the connection.
    pub(crate) fn signal(&self, signal: &str) {
        let group = format!("-{}", self.process.id());
        assert!(Command::new("kill").args(["-s", signal, "--", &group]).status().unwrap().success());
    }

    pub(crate) fn kill(mut self) {
        self.signal("KILL");
        self.process.wait().unwrap();
        std::fs::remove_file(&self.socket).unwrap();
    }
}

/// Makes the token and starts on it through a server, with time-outs that a busy machine keeps and some settings changed.
pub(crate) async fn remote(bench: &Bench, change: impl FnOnce(&mut HsmConfig)) -> (Server, Hsm) {
    bench.provision();
    let server = Server::start(bench).await;
    let mut config = config(bench);
    change(&mut config);
    (server, Hsm::start(config).await.unwrap())
}

fn config(bench: &Bench) -> HsmConfig {
    let mut config = bench.config();
    config.module = CLIENT.into();
    config.session_threads = 2;
    config.timeouts.sign = Duration::from_secs(2);
    config.timeouts.canary = Duration::from_secs(2);
    config.timeouts.quiesce = Duration::from_secs(2);
    config.canary_interval = Duration::from_millis(100);
    config.backoff_max = Duration::from_millis(200);
    config
}

#[test]
fn a_killed_server_is_taken_up_again_when_it_returns() {
    isolated("remote::a_killed_server_is_taken_up_again_when_it_returns", async |bench| {
        let (server, hsm) = remote(&bench, |_| {}).await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        sign(&hsm, &key).await.unwrap();
        server.kill();
        let result = sign(&hsm, &key).await;
        assert!(matches!(result, Err(HsmError::Unavailable { .. })), "{result:?}");
        until("the cause has a return code or names the token", || hsm.status().cause.is_some()).await;
        assert!(!hsm.is_ready());
        let server = Server::start(&bench).await;
        until_state(&hsm, State::Ready).await;
        sign(&hsm, &key).await.unwrap();
        hsm.shutdown().await;
        server.kill();
    });
}

#[test]
fn a_stopped_server_costs_threads_but_no_late_signature() {
    isolated("remote::a_stopped_server_costs_threads_but_no_late_signature", async |bench| {
        let (server, hsm) = remote(&bench, |config| {
            config.stuck_threads_max = 2;
            // What notices is a signature.
            without_canaries(config);
        })
        .await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        server.signal("STOP");
        let result = sign(&hsm, &key).await;
        assert!(matches!(result, Err(HsmError::DeadlineExceeded { .. })), "{result:?}");
        until("the thread is written off", || hsm.status().stuck_threads >= 1).await;
        // Replacements are limited; then only a restart of the process helps, and the status says so.
        until("replacements are used up", || {
            let submitted = hsm.clone();
            let key = key.clone();
            tokio::spawn(async move { sign(&submitted, &key).await });
            let status = hsm.status();
            status.restart_required && status.state == State::Degraded
        })
        .await;
        let status = hsm.status();
        assert!(status.cause.unwrap().text.contains("restart"), "the cause says what helps");
        server.signal("CONT");
        until_state(&hsm, State::Ready).await;
        let status = hsm.status();
        assert_eq!((status.stuck_threads, status.restart_required), (0, false));
        assert!(status.counters.late_results >= 1, "{status:?}");
        sign(&hsm, &key).await.unwrap();
        hsm.shutdown().await;
        server.kill();
    });
}

/// RSA-4096 takes SoftHSM seconds, on a busy machine more, and it does nothing else meanwhile.
#[test]
fn a_token_that_takes_its_time_for_a_key_is_not_given_up() {
    isolated("remote::a_token_that_takes_its_time_for_a_key_is_not_given_up", async |bench| {
        let (server, hsm) = remote(&bench, |config| config.stuck_threads_max = 0).await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        server.signal("STOP");
        // It hangs in the look-up before the generation.
        let made = taken(&hsm, Lane::Generate, pair(&hsm, 2)).await;
        // Each of these waits for as long as a canary may; three canaries in a row would open the breaker.
        for _ in 0..6 {
            let result = sign(&hsm, &key).await;
            assert!(matches!(result, Err(HsmError::DeadlineExceeded { .. })), "{result:?}");
        }
        let status = hsm.status();
        assert_eq!((status.state, status.stuck_threads), (State::Ready, 0), "{status:?}");
        server.signal("CONT");
        let made = made.await.unwrap().unwrap();
        sign(&hsm, &key).await.unwrap();
        sign(&hsm, &made).await.unwrap();
        assert_eq!(hsm.status().state, State::Ready);
        hsm.shutdown().await;
        server.kill();
    });
}

#[test]
fn a_signature_that_the_token_holds_back_past_not_after_is_dropped() {
    isolated("remote::a_signature_that_the_token_holds_back_past_not_after_is_dropped", async |bench| {
        let (server, hsm) = remote(&bench, |config| {
            config.timeouts.sign = Duration::from_secs(20);
            without_canaries(config);
            // The one thread has its session open by the time the server stops, so what blocks is `C_Sign` itself.
            config.session_threads = 1;
        })
        .await;
        let key = generate(&hsm, 1, KeyAlgorithm::Secp256k1).await;
        let before = hsm.status().counters.sign_calls;
        server.signal("STOP");
        let not_after = Instant::now() + Duration::from_secs(5);
        let held = tokio::spawn({
            let (hsm, key) = (hsm.clone(), key.clone());
            async move { hsm.sign_digest(&key, &[7; 32], Lane::Sign, not_after).await }
        });
        until("the token was asked, and the permit is over", || {
            hsm.status().counters.sign_calls > before && Instant::now() > not_after
        })
        .await;
        server.signal("CONT");
        let result = held.await.unwrap();
        assert!(matches!(result, Err(HsmError::Expired)), "{result:?}");
        assert_eq!(hsm.status().counters.late_results, 1);
        sign(&hsm, &key).await.unwrap();
        hsm.shutdown().await;
        server.kill();
    });
}

#[test]
fn a_start_on_a_module_that_does_not_return_ends() {
    isolated("remote::a_start_on_a_module_that_does_not_return_ends", async |bench| {
        bench.provision();
        let server = Server::start(&bench).await;
        server.signal("STOP");
        let mut config = config(&bench);
        config.start_timeout = Duration::from_millis(200);
        let error = Hsm::start(config).await.err().unwrap();
        assert!(matches!(error, HsmError::DeadlineExceeded { operation: "start" }), "{error:?}");
        server.kill();
    });
}
