//! Who calls. Reads the credential a request presents and proves it; what the caller may do is the authorization
//! table's business. Nothing here reaches the HSM.

mod access_token;
mod api_key;
mod ethereum;
mod key_uses;
mod personal;
mod presented;
mod sign_in;

pub(crate) use access_token::TokenVerifier;
pub(crate) use api_key::authenticate_key;
pub(crate) use ethereum::{Place, RequestFacts, SignedApproval, authenticate_approval, authenticate_request};
pub(crate) use key_uses::KeyUses;
pub(crate) use personal::prove_personal;
pub(crate) use presented::{
    Presented, SIGNATURE_BYTES, SignatureHeaders, SignedAt, WALLET_SIGNATURE_BYTES_MAX,
};
pub(crate) use sign_in::{authenticate_sign_in, takes_chain};
