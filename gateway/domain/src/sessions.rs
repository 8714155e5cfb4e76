//! Sessions: what a wallet's owner holds after a login (ERC-4361), kept alive by refresh tokens that are each used
//! once, and ended at once by a logout.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    credentials::CredentialHash,
    ids::{OrganizationId, PrincipalId, SessionId},
    ports::TokenSigner,
    sealed::{RowVersion, Sealable},
};

mod access_token;
mod expired;
mod lifecycle;
mod login_nonce;
mod refresh_token;

pub use access_token::{AUDIENCE, AccessClaims, TokenKey};
pub use expired::remove_expired_sessions;
pub use lifecycle::{
    TokenPair, end_every_session, end_session, open_session, refresh_session, require_session,
};
pub(crate) use lifecycle::{ending_every_session, require_session_of};
pub use login_nonce::{IssuedNonce, NonceKeys, issue_nonce, use_nonce};
pub use refresh_token::{RefreshToken, RefreshTokenMalformed};

/// One login, from the first pair of tokens to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    pub organization: OrganizationId,
    pub user: PrincipalId,
    /// The user's when the login was proven; once theirs is another one the session is over.
    pub wallet_epoch: u64,
    /// Keyed hash of the newest refresh token.
    pub refresh_hash: CredentialHash,
    pub created_at: Timestamp,
    pub refreshed_at: Timestamp,
    /// When the newest refresh token ends, and the session with it.
    pub expires_at: Timestamp,
    pub ended: Option<SessionEnd>,
    pub version: u64,
}

/// Why a session is over before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnd {
    pub at: Timestamp,
    pub reason: EndReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    LoggedOut,
    /// A refresh token was presented a second time: somebody else holds a copy.
    TokenReused,
    /// The user has too many sessions; this was the oldest.
    Displaced,
    /// The user's wallet became a contract, a contract on another chain, or a plain wallet again.
    WalletSwitched,
}

/// A refresh token that has been exchanged, kept until it would have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedRefreshToken {
    pub organization: OrganizationId,
    pub hash: CredentialHash,
    pub session: SessionId,
    pub expires_at: Timestamp,
}

/// Everything that logins work with.
pub struct Sessions {
    pub signer: Arc<dyn TokenSigner>,
    pub nonces: NonceKeys,
    /// The `iss` of access tokens.
    pub issuer: String,
    pub limits: SessionLimits,
}

/// Bounds of sessions, all configurable.
#[derive(Clone, Debug)]
pub struct SessionLimits {
    /// How long an access token holds. Default 15 min.
    pub access_token_ttl: Duration,
    /// How long a refresh token holds, and a session that nobody refreshes. Default 30 days.
    pub refresh_token_ttl: Duration,
    /// How long a login nonce holds. Default 5 min.
    pub nonce_ttl: Duration,
    /// Sessions of one user; a further login ends the oldest. Default 50.
    pub sessions_per_user_max: u32,
}

impl Session {
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.ended.is_none() && now < self.expires_at
    }
}

impl Sealable for Session {
    const TABLE: &'static str = "sessions";

    fn row_version(&self) -> Option<RowVersion> {
        Some(RowVersion::new::<Self>(self.id, self.version))
    }
}

#[cfg(test)]
mod tests;
