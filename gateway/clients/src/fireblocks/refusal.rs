//! What an answer of Fireblocks says of a request that may have moved value.
//!
//! Fireblocks advises to look a transaction up by its external id after every error; this says what that look-up, finding
//! nothing, proves.

/// A second transaction under an external id.
const DUPLICATE_EXTERNAL_ID: i64 = 1438;

/// What an answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken,
    /// Nothing was taken, and the same request never will be.
    Final,
    /// Nothing was taken; the same request may be taken later.
    NotTaken,
    /// Whether it was taken is for a look-up to tell, and until then for nobody.
    Unknown,
}

/// One row for each status that Fireblocks documents, or that something in front of it gives.
pub(super) fn verdict(http_status: u16, code: Option<i64>) -> Verdict {
    match (http_status, code) {
        (200..=299, _) => Verdict::Taken,
        // The clocks differ, the certificate ran out, or the key was changed: none of it is about the transaction.
        // Too early and too many are refused before they are read.
        (401 | 425 | 429, _) => Verdict::NotTaken,
        // Fireblocks has a transaction of that name, whatever the look-up shows yet; the time ran out somewhere on the
        // way; the same request is being worked on.
        (400, Some(DUPLICATE_EXTERNAL_ID)) | (408 | 409, _) => Verdict::Unknown,
        (400..=499, _) => Verdict::Final,
        // Nobody is followed, and an error of theirs may come after the deed.
        _ => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests;
