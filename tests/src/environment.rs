//! The only place where the harness looks at its surroundings: environment, paths, wall clock.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const PORTS: Range<u16> = 10_000..20_000;
/// Processes that run at once begin far from each other.
const PROCESS_STRIDE: u32 = 997;

/// The project's root folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests' package lies in a folder of the project")
}

/// The gateway's binary, from the same build as the running program.
pub fn gateway_binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.ancestors().skip(1).find(|folder| folder.join("countersign").is_file());
    Ok(folder
        .context("no `countersign` beside this program: cargo build --release -p countersign")?
        .join("countersign"))
}

/// The EVM node's binary, where `deploy/setup` puts it.
pub fn anvil_binary() -> Result<PathBuf> {
    let binary = cache()?.join("anvil/anvil");
    ensure!(binary.is_file(), "no EVM node at `{}`: run deploy/setup demo", binary.display());
    Ok(binary)
}

/// The packages of the clients that log in, where `deploy/setup` puts them.
pub fn login_clients() -> Result<PathBuf> {
    let folder = cache()?.join("login-clients");
    ensure!(folder.is_dir(), "no login clients at `{}`: run deploy/setup test", folder.display());
    Ok(folder)
}

/// The packages of the contracts' compiler, where `deploy/setup` puts them.
pub fn contract_compiler() -> Result<PathBuf> {
    let folder = cache()?.join("contract-compiler");
    ensure!(folder.is_dir(), "no contract compiler at `{}`: run deploy/setup test", folder.display());
    Ok(folder)
}

/// Programs of the judges of the OpenAPI document, where `deploy/setup` puts them.
pub fn openapi_tools() -> Result<PathBuf> {
    let folder = cache()?.join("openapi-tools/bin");
    ensure!(folder.is_dir(), "no OpenAPI tools at `{}`: run deploy/setup test", folder.display());
    Ok(folder)
}

/// Python with Fireblocks' SDK, where `deploy/setup` puts it.
pub fn fireblocks_sdk() -> Result<PathBuf> {
    let python = cache()?.join("fireblocks-sdk/bin/python3");
    ensure!(python.is_file(), "no Fireblocks SDK at `{}`: run deploy/setup test", python.display());
    Ok(python)
}

fn cache() -> Result<PathBuf> {
    let cache = match variable("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(variable("HOME").context("`HOME` is not set")?).join(".cache"),
    };
    Ok(cache.join("countersign"))
}

/// Administrator's URL of the PostgreSQL server that `deploy/with-postgres` started.
pub fn postgres_url() -> Result<String> {
    variable("COUNTERSIGN_TEST_POSTGRES_URL")
        .context("`COUNTERSIGN_TEST_POSTGRES_URL` is not set: run the tests through deploy/with-postgres")
}

#[expect(clippy::disallowed_methods, reason = "the harness reads its environment here and nowhere else")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Seconds since the epoch, for the timestamps that a client signs.
#[expect(clippy::disallowed_methods, reason = "a client of the real server lives in real time")]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// [`unix_seconds`] for a request that is signed: a second that no request of this process was signed at before, for the
/// gateway takes each signed text once. Lies a little back, so that many may be signed at once.
pub fn signing_time() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let earliest = unix_seconds() - 200;
    let next = |last: u64| if last < earliest + 400 { earliest.max(last + 1) } else { earliest };
    let last = LAST.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(next(last)));
    next(last.unwrap_or_default())
}

/// Now, as wallets write it.
#[expect(clippy::disallowed_methods, reason = "a client of the real server lives in real time")]
pub fn rfc3339_now() -> String {
    let now = OffsetDateTime::from(SystemTime::now());
    now.format(&Rfc3339).expect("a year of four digits")
}

/// A loopback port that nobody listens on, and that nobody is given by chance before it is used: each is told once in a
/// process, and lies below those that the kernel gives to whoever connects or asks for any.
pub fn free_loopback_address() -> Result<SocketAddr> {
    static TOLD: AtomicU32 = AtomicU32::new(0);
    for _ in PORTS {
        let number =
            std::process::id().wrapping_mul(PROCESS_STRIDE).wrapping_add(TOLD.fetch_add(1, Ordering::SeqCst));
        let port = PORTS.start + u16::try_from(number % u32::from(PORTS.end - PORTS.start))?;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("no port of {PORTS:?} is free")
}
