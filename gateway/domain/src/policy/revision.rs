//! Plugin revisions: what a binding names, who signed for it, and whether it may still judge.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Mutex, PoisonError},
};

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::signature::RevisionSignature;
use crate::{
    clock::Timestamp,
    ids::{OperatorId, OrganizationId, PluginRevisionId},
    operators::{Charter, OperatorKey, OperatorRole},
    sealed::{RowVersion, Sealable},
};

/// A component, its settings and its grants. Never edited; the row seal covers everything but the bytes, which
/// are held by their digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRevision {
    pub id: PluginRevisionId,
    pub organization: OrganizationId,
    pub plugin: String,
    /// SHA-256 of the component.
    pub component_digest: B256,
    /// JSON, as given by the operator.
    pub settings: String,
    /// Names of the capabilities granted.
    pub grants: BTreeSet<String>,
    /// What the component turned out to be at the upload: nobody runs it to be shown this.
    pub examined: Examined,
    /// An author's, over all of the above but the id and what follows from the component; absent in a deployment without operators.
    pub signature: Option<RevisionSignature>,
    /// Who sent it; absent if a command on the gateway's machine did.
    pub uploaded_by: Option<OperatorId>,
    pub created_at: Timestamp,
}

/// What a component is, found without a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examined {
    /// Names of the interfaces that it imports, with their versions.
    pub imports: Vec<String>,
    /// Capabilities that these are.
    pub wanted: Vec<String>,
    /// Version of the contract that it was built against.
    pub contract: String,
    /// Of the component.
    pub bytes: u64,
}

/// Says that a revision judges no more. Nothing takes it back: what is uploaded and bound instead must differ in component,
/// settings or grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRevocation {
    pub revision: PluginRevisionId,
    pub organization: OrganizationId,
    /// Absent if a command on the gateway's machine revoked it.
    pub revoked_by: Option<OperatorId>,
    /// The signed request that revoked it.
    pub evidence: Option<String>,
    pub revoked_at: Timestamp,
}

/// Why a revision may not judge. Whatever it is, every binding of the revision denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevisionFault {
    #[error("it is not signed")]
    Unsigned,
    #[error("its signature is malformed")]
    SignatureMalformed,
    #[error("its signature is for {0}")]
    SignatureForOther(SignedOther),
    #[error("its signature does not fit its signer's key")]
    SignatureInvalid,
    #[error("its signer is not in the charter")]
    SignerUnknown,
    #[error("its signer was revoked")]
    SignerRevoked,
    #[error("its signer is no author")]
    SignerNotAuthor,
    #[error("it was revoked")]
    Revoked,
    /// Nobody looked; nothing is believed of it.
    #[error("it was not examined")]
    Unexamined,
}

/// Which claims of a signature are not the revision's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedOther {
    pub organization: bool,
    pub plugin: bool,
    /// One digest of component, settings and grants: which of them it is, the signature does not tell.
    pub subject: bool,
}

/// Signatures that were found good in this process, so that each is computed once. That a signature fits a key and a text
/// never changes; who the signer is now is asked every time.
#[derive(Debug, Default)]
pub struct ProvenSignatures(Mutex<BTreeSet<B256>>);

/// Beyond it all are forgotten, which costs one computation each.
const PROVEN_MAX: usize = 4_096;

impl PluginRevision {
    /// SHA-256 over component digest, settings and grants: what a binding names and an evaluation was made of.
    pub fn subject_digest(&self) -> B256 {
        subject_digest(self.component_digest, &self.settings, &self.grants)
    }

    /// Whether somebody who is an author by `charter` signed for this revision. Without a charter there is nobody who
    /// could have signed, and a revision that is signed nevertheless belongs to a deployment that has lost its charter.
    pub fn check_signature(
        &self,
        charter: Option<&Charter>,
        proven: &ProvenSignatures,
    ) -> Result<(), RevisionFault> {
        let (signature, charter) = match (&self.signature, charter) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(RevisionFault::Unsigned),
            (Some(_), None) => return Err(RevisionFault::SignerUnknown),
            (Some(signature), Some(charter)) => (signature, charter),
        };
        let signed = signature.read().map_err(|_| RevisionFault::SignatureMalformed)?;
        let claims = &signed.claims;
        let other = SignedOther {
            organization: claims.organization != self.organization,
            plugin: claims.plugin != self.plugin,
            subject: claims.subject != self.subject_digest(),
        };
        if other.organization || other.plugin || other.subject {
            return Err(RevisionFault::SignatureForOther(other));
        }
        let author = charter.operator(signed.signer).ok_or(RevisionFault::SignerUnknown)?;
        if !author.is_active() {
            return Err(RevisionFault::SignerRevoked);
        }
        if !author.has(OperatorRole::Author) {
            return Err(RevisionFault::SignerNotAuthor);
        }
        if proven.fits(signature, &author.public_key) { Ok(()) } else { Err(RevisionFault::SignatureInvalid) }
    }
}

/// See [`PluginRevision::subject_digest`].
pub fn subject_digest(component: B256, settings: &str, grants: &BTreeSet<String>) -> B256 {
    let mut hash = Sha256::new();
    hash.update(b"countersign-plugin-subject-1");
    hash.update(component);
    for part in std::iter::once(settings).chain(grants.iter().map(String::as_str)) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    B256::new(hash.finalize().into())
}

impl ProvenSignatures {
    fn fits(&self, signature: &RevisionSignature, key: &OperatorKey) -> bool {
        let mut hash = Sha256::new();
        hash.update(key.to_string());
        hash.update(signature.as_str());
        let fact = B256::new(hash.finalize().into());
        let locked = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if locked().contains(&fact) {
            return true;
        }
        let fits = signature.fits(key);
        if fits {
            let mut proven = locked();
            if proven.len() >= PROVEN_MAX {
                proven.clear();
            }
            proven.insert(fact);
        }
        fits
    }
}

impl RevisionFault {
    /// The stable text of the fault, in metrics and denials.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::SignatureMalformed => "signature_malformed",
            Self::SignatureForOther(_) => "signature_for_other",
            Self::SignatureInvalid => "signature_invalid",
            Self::SignerUnknown => "signer_unknown",
            Self::SignerRevoked => "signer_revoked",
            Self::SignerNotAuthor => "signer_not_author",
            Self::Revoked => "revoked",
            Self::Unexamined => "unexamined",
        }
    }
}

impl fmt::Display for SignedOther {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.organization, "another organization"),
            (self.plugin, "another plugin name"),
            (self.subject, "another component, other settings (byte for byte) or other grants"),
        ];
        let differing: Vec<_> = parts.iter().filter(|(differs, _)| *differs).map(|(_, what)| *what).collect();
        f.write_str(&differing.join(", and for "))
    }
}

impl Sealable for PluginRevision {
    const TABLE: &'static str = "plugin_revisions";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::written_once::<Self>(self.id))
    }
}

impl Sealable for PluginRevocation {
    const TABLE: &'static str = "plugin_revocations";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::written_once::<Self>(self.revision))
    }
}

#[cfg(test)]
mod tests;
