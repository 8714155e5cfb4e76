//! SoftHSM reads one configuration per process and PKCS#11 has one context per process: each case runs this test
//! binary again as a child, with a token directory of its own.

use std::{
    env,
    future::Future,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use cryptoki::{
    context::Pkcs11,
    object::{Attribute, ObjectClass, ObjectHandle},
    session::Session,
    slot::Slot,
};
use hsm::{
    CkaId, Hsm, HsmConfig, HsmError, KeyAlgorithm, KeyLabel, KeyReference, KeySpec, KeyUsage, Lane, Pin,
    SoftHsmPaths, State,
};
use tokio::task::JoinHandle;

pub(crate) const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
pub(crate) const SPY: &str = "/usr/lib/x86_64-linux-gnu/pkcs11/pkcs11-spy.so";
pub(crate) const PIN: &str = "2468-user";
const SO_PIN: &str = "1357-officer";
const DIRECTORY: &str = "HSM_TEST_DIRECTORY";
const CASE_TIMEOUT: Duration = Duration::from_mins(2);
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// One case's token.
pub(crate) struct Bench {
    pub(crate) directory: PathBuf,
    pub(crate) softhsm: SoftHsmPaths,
}

/// Runs `body` in a child process of its own. `test` is the full name of the calling test.
pub(crate) fn isolated<F>(test: &str, body: impl FnOnce(Bench) -> F)
where
    F: Future<Output = ()>,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "the harness tells its own children apart by the environment"
    )]
    let directory = env::var_os(DIRECTORY);
    match directory {
        Some(directory) => run_case(Path::new(&directory), body),
        None => run_child(test),
    }
}

fn run_case<F>(directory: &Path, body: impl FnOnce(Bench) -> F)
where
    F: Future<Output = ()>,
{
    let softhsm = hsm::write_softhsm_config(directory).unwrap();
    let bench = Bench { directory: directory.to_owned(), softhsm };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(CASE_TIMEOUT, body(bench)).await })
        .expect("the case ends in time");
    // A thread stuck in a module must not hold the process.
    runtime.shutdown_background();
}

fn run_child(test: &str) {
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let path = directory.path();
    let output = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(DIRECTORY, path)
        .env("SOFTHSM2_CONF", path.join("softhsm2.conf"))
        .env("P11_KIT_SERVER_ADDRESS", format!("unix:path={}", path.join("p11-kit.socket").display()))
        .env("PKCS11SPY", SOFTHSM)
        .env("PKCS11SPY_OUTPUT", path.join("spy.log"))
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "`{test}` failed:\n{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "`{test}` is not the name of its test:\n{stdout}");
}

impl Bench {
    /// Defaults for this case's SoftHSM token, with the canary made at the first start.
    pub(crate) fn config(&self) -> HsmConfig {
        let mut config = HsmConfig::new(SOFTHSM, "countersign test", pin(PIN), &self.directory);
        config.storage_directories = vec![self.softhsm.tokens.clone()];
        config.create_canary = true;
        config
    }

    /// Makes the token and starts on it.
    pub(crate) async fn start(&self) -> Hsm {
        self.start_with(|_| {}).await
    }

    /// As [`Self::start`], with some settings changed.
    pub(crate) async fn start_with(&self, change: impl FnOnce(&mut HsmConfig)) -> Hsm {
        self.provision();
        let mut config = self.config();
        change(&mut config);
        Hsm::start(config).await.unwrap()
    }

    pub(crate) fn provision(&self) {
        hsm::provision_token(&self.config(), &pin(SO_PIN)).unwrap();
    }
}

/// Asks nothing of the token after the start that a test does not ask.
pub(crate) fn without_canaries(config: &mut HsmConfig) {
    config.canary_interval = Duration::from_mins(10);
}

pub(crate) fn pin(text: &str) -> Pin {
    Pin::new(text.to_owned())
}

pub(crate) fn label(organization: &str, key_id: &str) -> KeyLabel {
    KeyLabel {
        organization: organization.into(),
        key_id: key_id.into(),
        purpose: "wallet".into(),
        kinds: vec!["transaction".into()],
    }
}

pub(crate) fn id(number: u8) -> CkaId {
    [number; 16]
}

pub(crate) fn spec(number: u8, algorithm: KeyAlgorithm) -> KeySpec {
    let label = label("org", &format!("key-{number}"));
    KeySpec { cka_id: id(number), label, algorithm, usage: KeyUsage::Sign, permanent: false }
}

pub(crate) async fn generate(hsm: &Hsm, number: u8, algorithm: KeyAlgorithm) -> KeyReference {
    hsm.generate(spec(number, algorithm)).await.unwrap()
}

pub(crate) fn pair(
    hsm: &Hsm,
    number: u8,
) -> impl Future<Output = Result<KeyReference, HsmError>> + Send + 'static {
    let hsm = hsm.clone();
    async move { hsm.generate(spec(number, KeyAlgorithm::P256)).await }
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

pub(crate) async fn sign(hsm: &Hsm, key: &KeyReference) -> Result<hsm::DigestSignature, HsmError> {
    hsm.sign_digest(key, &[7; 32], Lane::Sign, soon()).await
}

/// Waits for a condition, with a deadline.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        looks.tick().await;
    }
}

pub(crate) async fn until_state(hsm: &Hsm, state: State) {
    until(state.name(), || hsm.status().state == state).await;
}

/// Orders something of a token that stands still, and returns once a thread has taken the order.
pub(crate) async fn taken<T: Send + 'static>(
    hsm: &Hsm,
    lane: Lane,
    order: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let mut order = Box::pin(order);
    // Asked once, it is submitted.
    tokio::select! {
        biased;
        _ = &mut order => panic!("a stopped server does nothing"),
        () = std::future::ready(()) => {}
    }
    until("a thread takes it", || hsm.status().queue_depths.contains(&(lane, 0))).await;
    tokio::spawn(order)
}

/// A second way into the module that the layer under test has initialized in this process.
pub(crate) struct Raw {
    pub(crate) pkcs11: Pkcs11,
    pub(crate) slot: Slot,
}

impl Raw {
    pub(crate) fn softhsm() -> Self {
        let pkcs11 = Pkcs11::new(SOFTHSM).unwrap();
        let slots = pkcs11.get_slots_with_initialized_token().unwrap();
        Self { slot: slots[0], pkcs11 }
    }

    pub(crate) fn session(&self) -> Session {
        self.pkcs11.open_rw_session(self.slot).unwrap()
    }
}

/// The one object of this class and number.
pub(crate) fn only(session: &Session, class: ObjectClass, number: u8) -> ObjectHandle {
    let found = session.find_objects(&[Attribute::Class(class), Attribute::Id(id(number).to_vec())]).unwrap();
    assert_eq!(found.len(), 1);
    found[0]
}
