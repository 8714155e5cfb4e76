//! The control socket: how a command reaches the gateway that runs in its data directory.
//!
//! `control.sock` lies in the data directory, which only its owner can enter. A connection carries one request, one
//! JSON document up to the end of the client's half, and one reply. Both ends are the same program: a request of
//! another version is refused before it is read further.

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::cli::Status;

mod client;
mod server;

pub(crate) use client::{ControlError, ask};
pub(crate) use server::{Bounds, Socket};

#[cfg(test)]
mod tests;

const FILE: &str = "control.sock";
/// What a socket's address holds, its final zero not counted.
const ADDRESS_BYTES_MAX: usize = 107;
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the gateway answers.
pub(crate) type Reply<Answer> = Result<Answer, Failure>;

/// Why a command was not carried out, as the command shows it.
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) message: String,
    /// What clients of the API are not told.
    pub(crate) causes: Vec<String>,
}

/// A request as it is written.
#[derive(Serialize)]
struct Request<'a, Order> {
    version: &'static str,
    order: &'a Order,
}

/// A request as it is read: the order only once the version is known.
#[derive(Deserialize)]
struct Received<'a> {
    version: String,
    #[serde(borrow)]
    order: &'a RawValue,
}

impl Failure {
    fn new(message: String) -> Self {
        Self { status: Status::Failed, message, causes: Vec::new() }
    }
}

fn parse<Order: DeserializeOwned>(document: &[u8]) -> Result<Order, Failure> {
    let unreadable = |error: serde_json::Error| Failure::new(format!("the request cannot be read: {error}"));
    let received: Received<'_> = serde_json::from_slice(document).map_err(unreadable)?;
    if received.version != VERSION {
        return Err(Failure::new(format!(
            "the gateway that runs has version {VERSION}, this command version {}: use the gateway's own program, or \
             start it anew with this one",
            received.version
        )));
    }
    serde_json::from_str(received.order.get()).map_err(unreadable)
}

/// The socket's path as the kernel takes it.
struct Address {
    path: PathBuf,
    /// Open while the path leads through it.
    _directory: Option<File>,
}

impl Address {
    /// A path too long for an address leads through a descriptor of the directory.
    fn within(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(FILE);
        if path.as_os_str().as_bytes().len() <= ADDRESS_BYTES_MAX {
            return Ok(Self { path, _directory: None });
        }
        let directory = File::open(data_dir)?;
        let path = format!("/proc/self/fd/{}/{FILE}", directory.as_raw_fd()).into();
        Ok(Self { path, _directory: Some(directory) })
    }
}
