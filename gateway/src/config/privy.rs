//! `[privy]`: the app at Privy, and the quorums it stands for.

use std::path::PathBuf;

use gateway_domain::quorums::{MemberKey, StaticQuorum};

use super::{ConfigError, section::section, value::Secret};

section! {
    /// Key quorums and wallets at Privy.
    pub(crate) struct Privy = "privy" {
        /// Root of the API.
        url: String = "https://api.privy.io".to_owned();
        /// Id of the app. Without it nothing of Privy is served.
        app_id: Option<String> = None, like "\"cm7oxq1el000e11o8iwp7d0d0\"";
        /// The app's secret.
        app_secret: Option<Secret> = None, like "\"5q8v3hTz\"";
        /// File that holds the app's secret, instead of `app_secret`.
        app_secret_file: Option<PathBuf> = None, like "\"/run/secrets/privy-app-secret\"";
        /// Quorum that users may name instead of making one.
        static_quorum_id: Option<String> = None, like "\"jx8v1c2q4w0m\"";
        /// Display name of that quorum.
        static_quorum_name: String = "Agent".to_owned();
        /// How many of that quorum's members must authorize.
        static_quorum_threshold: u32 = 1, within 1..=1000;
        /// Quorums that an organization may have made at Privy. They stay there, so forgetting one gives nothing back.
        quorums_max: u32 = 1000, within 0..=1_000_000;
        /// How many of them may be made for one user. Arbiter quorums, which server keys ask for, are counted apart, up to as
        /// many again.
        quorums_per_user_max: u32 = 10, within 0..=1_000_000;
        /// Member of arbiter quorums besides the user: a P-256 public key as SPKI in PEM.
        arbiter_public_key: Option<String> = None, like "\"-----BEGIN PUBLIC KEY-----\\n\
            MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPgT//eeRVhWxBOPl6mYLmrzbjuW8\\n\
            KltMO811o7BBmsgG4GuzMefSV14NHiw71bZN1R3jwEq9e4RS7+NKNynXfQ==\\n-----END PUBLIC KEY-----\"";
    }
}

impl Privy {
    pub(crate) fn static_quorum(&self) -> Option<StaticQuorum> {
        let quorum_id = self.static_quorum_id.clone()?;
        Some(StaticQuorum {
            quorum_id,
            display_name: self.static_quorum_name.clone(),
            authorization_threshold: self.static_quorum_threshold,
        })
    }

    pub(crate) fn arbiter_key(&self) -> Result<Option<MemberKey>, ConfigError> {
        let key = self.arbiter_public_key.as_deref().map(MemberKey::from_pem).transpose();
        key.map_err(|error| ConfigError::Value(format!("`privy.arbiter_public_key` is {error}")))
    }
}
