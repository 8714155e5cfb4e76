//! What a client wrote, as one hash: an equal request is told by it, whatever settings say by then.

use std::{borrow::Cow, collections::BTreeMap};

use gateway_domain::B256;
use sha2::{Digest, Sha256};

/// SHA-256 over the members as RFC 8785 canonical JSON. Members are written as answers write them, so neither the case
/// of hex digits nor the order of members makes another request; an absent one is left out.
pub(crate) fn request_digest<'a>(
    form: &'static str,
    members: impl IntoIterator<Item = (&'static str, Option<Cow<'a, str>>)>,
) -> B256 {
    let members = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let canonical: BTreeMap<_, _> = members.chain([("form", Cow::Borrowed(form))]).collect();
    let canonical = serde_json::to_vec(&canonical).expect("a map of text serializes");
    B256::new(Sha256::digest(canonical).into())
}
