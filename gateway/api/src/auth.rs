//! Who calls. Reads the credential a request presents and proves it; what the caller may do is the authorization
//! table's business. Nothing here reaches the HSM.

mod api_key;
mod ethereum;
mod presented;

pub(crate) use api_key::authenticate_key;
pub(crate) use ethereum::{RequestFacts, SignedApproval, authenticate_approval, authenticate_request};
pub(crate) use presented::{Presented, SignatureHeaders, SignedAt};
