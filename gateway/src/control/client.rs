//! The command's end of the control socket.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use super::{Address, Failure, Reply, Request, VERSION};
use crate::cli::Status;

/// The gateway keeps the deadline; this is for one that does not run at all, such as a stopped process.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error(
        "`{0}` is in use, but no gateway answers in it: one is starting or stopping, or another command is at work; \
         try again in a moment"
    )]
    Silent(PathBuf),
    #[error("the gateway that runs in `{path}` cannot be reached; run this as its user or as root")]
    Unreachable {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error(
        "the gateway that runs in `{0}` broke off without an answer; `list` or its log tells whether the command was \
         carried out"
    )]
    Unanswered(PathBuf),
    /// What the gateway said.
    #[error("{0}")]
    Failed(Failure),
}

impl ControlError {
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Silent(_) => Status::Locked,
            Self::Unreachable { .. } | Self::Unanswered(_) => Status::Failed,
            Self::Failed(failure) => failure.status,
        }
    }
}

/// Has the gateway that runs in `data_dir` carry the order out within `timeout`, which is the gateway's own.
pub(crate) async fn ask<Order: Serialize, Answer: DeserializeOwned>(
    data_dir: &Path,
    order: &Order,
    timeout: Duration,
) -> Result<Answer, ControlError> {
    let unreachable = |cause| ControlError::Unreachable { path: data_dir.to_owned(), cause };
    let request = serde_json::to_vec(&Request { version: VERSION, order })
        .map_err(|error| unreachable(error.into()))?;
    let address = Address::within(data_dir).map_err(unreachable)?;
    let mut stream = match UnixStream::connect(&address.path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Err(ControlError::Silent(data_dir.to_owned()));
        }
        Err(cause) => return Err(unreachable(cause)),
    };
    let answered = tokio::time::timeout(timeout + GRACE, converse(&mut stream, &request)).await;
    // Whatever went wrong on the way: a whole answer is an answer.
    let reply = answered.ok().and_then(|text| serde_json::from_slice::<Reply<Answer>>(&text).ok());
    match reply {
        Some(reply) => reply.map_err(ControlError::Failed),
        None => Err(ControlError::Unanswered(data_dir.to_owned())),
    }
}

/// What came back before the connection ended, in order or not.
async fn converse(stream: &mut UnixStream, request: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    // A gateway that refuses early says why, even if it does not take the rest.
    let _ = stream.write_all(request).await;
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut text).await;
    text
}
