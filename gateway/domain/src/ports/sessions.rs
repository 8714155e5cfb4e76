//! Sessions, and what may be used once.

use async_trait::async_trait;

use crate::{
    changes::ReplayGuard,
    clock::Timestamp,
    credentials::CredentialHash,
    error::Result,
    ids::{OrganizationId, PrincipalId, SessionId},
    sealed::Sealed,
    sessions::Session,
};

#[async_trait]
pub trait SessionReads: Send + Sync {
    async fn session(&self, organization: OrganizationId, id: SessionId) -> Result<Option<Sealed<Session>>>;
    /// The session whose newest refresh token has one of these hashes, ended or not.
    async fn session_by_refresh_token(
        &self,
        organization: OrganizationId,
        hashes: &[CredentialHash],
    ) -> Result<Option<Sealed<Session>>>;
    /// The session that an older refresh token belonged to.
    async fn session_of_used_refresh_token(
        &self,
        organization: OrganizationId,
        hashes: &[CredentialHash],
    ) -> Result<Option<SessionId>>;
    /// The user's sessions that have not ended at `now`, oldest first, at most `limit`.
    async fn live_sessions(
        &self,
        organization: OrganizationId,
        user: PrincipalId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Sealed<Session>>>;
    /// Sessions of all organizations that expired by `now`, at most `limit`.
    async fn expired_sessions(&self, now: Timestamp, limit: u32) -> Result<Vec<Sealed<Session>>>;
    /// Marks what `guard` names as used; false when it was already. Changes no domain object, so that strangers
    /// write nothing into the audit log (T38).
    async fn use_once(&self, guard: ReplayGuard) -> Result<bool>;
}
