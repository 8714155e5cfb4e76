//! `[core.siwe]`, `[core.sessions]`, `[core.credentials]` and `[core.secrets]`: who may log in with a wallet, for how
//! long, and how secrets are kept.

use std::time::Duration;

use gateway_api::SiweConfig;
use gateway_domain::sessions::SessionLimits;

use super::{ConfigError, general::Core, section::section, value::List};
use crate::system_keys::Epochs;

section! {
    /// Logins with a wallet (ERC-4361).
    pub(crate) struct Siwe = "core.siwe" {
        /// Scheme, host and port of the page that people log in on: what their wallets show and sign. Without it, the
        /// public origin.
        origin: Option<String> = None, like "\"https://app.example\"";
        /// `Chain ID` of messages that are taken. Without any, those of the configured chains.
        chain_ids: List = List::default();
        /// Seconds for which a nonce can be used.
        nonce_seconds: u64 = 300, within 10..=3600;
        /// Seconds after which a message is too old.
        issued_age_max_seconds: u64 = 600, within 10..=86_400;
        /// Seconds by which a message's time may lie ahead of this machine's clock.
        issued_ahead_max_seconds: u64 = 60, within 0..=3600;
    }
}

section! {
    /// Sessions of people who have logged in.
    pub(crate) struct Sessions = "core.sessions" {
        /// The `iss` of access tokens. Without it, the public origin. Another one ends all access tokens, not sessions.
        issuer: Option<String> = None, like "\"https://custody.example\"";
        /// Seconds for which an access token holds.
        access_token_seconds: u64 = 900, within 10..=86_400;
        /// Seconds for which a refresh token holds, and a session that nobody refreshes.
        refresh_token_seconds: u64 = 2_592_000, within 60..=31_536_000;
        /// Sessions of one user; a further login ends the oldest.
        per_user_max: u32 = 50, within 1..=1000;
        /// Rotation of the key that signs access tokens: after one more, the next key signs, and tokens of the key before
        /// stay good until they end. The next key is made one rotation ahead and its tokens are taken already, so
        /// gateways can be rotated one after another; by one at a time.
        token_key_epoch: u32 = 1, within 1..=1_000_000;
    }
}

section! {
    /// How secrets of clients are kept: as hashes under a key derived from the token's master.
    pub(crate) struct Credentials = "core.credentials" {
        /// Rotation of that key: one more hashes what is made from the next start on under a new key. Gateways take hashes
        /// under the next key already, so they can be rotated one after another; by one at a time.
        key_epoch: u32 = 1, within 1..=100;
        /// The oldest rotation whose API keys, refresh tokens and login nonces are still taken.
        oldest_key_epoch: u32 = 1, within 1..=100;
    }
}

section! {
    /// How secrets are kept that the gateway reads back, such as Fireblocks API keys: sealed by a key of the token.
    pub(crate) struct Secrets = "core.secrets" {
        /// Rotation of that key: one more seals what comes from the next start on under a new key, and what lies under
        /// earlier ones anew while the gateway serves; the log says how much is left. Gateways open what is sealed under the
        /// next key already, so they can be rotated one after another; by one at a time.
        key_epoch: u32 = 1, within 1..=100;
        /// The oldest rotation whose secrets are still opened. Nothing starts while one lies under an earlier rotation.
        oldest_key_epoch: u32 = 1, within 1..=100;
    }
}

impl Core {
    pub(crate) fn key_epochs(&self) -> Epochs {
        let Self { sessions, credentials, secrets, .. } = self;
        Epochs {
            token: sessions.token_key_epoch,
            credentials: credentials.oldest_key_epoch..=credentials.key_epoch,
            secrets: secrets.oldest_key_epoch..=secrets.key_epoch,
        }
    }

    pub(crate) fn session_limits(&self) -> SessionLimits {
        SessionLimits {
            access_token_ttl: Duration::from_secs(self.sessions.access_token_seconds),
            refresh_token_ttl: Duration::from_secs(self.sessions.refresh_token_seconds),
            nonce_ttl: Duration::from_secs(self.siwe.nonce_seconds),
            sessions_per_user_max: self.sessions.per_user_max,
        }
    }

    pub(crate) fn siwe_config(&self) -> Result<SiweConfig, ConfigError> {
        let number = |text: &String| {
            text.parse()
                .map_err(|_| ConfigError::Value(format!("`core.siwe.chain_ids`: `{text}` is not a number")))
        };
        Ok(SiweConfig {
            origin: self.siwe.origin.clone(),
            chain_ids: self.siwe.chain_ids.0.iter().map(number).collect::<Result<_, _>>()?,
            issued_age_max_seconds: self.siwe.issued_age_max_seconds,
            issued_ahead_max_seconds: self.siwe.issued_ahead_max_seconds,
        })
    }
}
