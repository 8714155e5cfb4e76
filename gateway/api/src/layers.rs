//! What every request passes through, whatever the family. The stack itself is written out in the family's
//! router; each layer here is one small function.

mod access;
mod admission;
mod browser;
mod gate;
mod panics;
mod rates;
mod request_id;
mod shares;
mod size;
mod source;
mod timeout;
mod unread;

pub(crate) use access::{CallerNote, access};
pub(crate) use admission::admission;
pub(crate) use browser::{cors, guard_headers};
pub(crate) use gate::Gate;
pub(crate) use panics::catch_panics;
pub(crate) use rates::{CHANGES, Counting, FAILURES, KeyedRate, REGISTRATIONS, Rates};
pub(crate) use request_id::{RequestId, request_id};
pub use shares::{Place, Shares};
pub(crate) use size::size;
pub use source::subscriber;
pub(crate) use source::{Source, source};
pub(crate) use timeout::timeout;
