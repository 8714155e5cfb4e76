//! `[limits]`, and the domain's bounds made of it.

use std::time::Duration;

use gateway_domain::{ports, quota::Quota};

use super::section::section;

section! {
    /// Quotas and pauses of the domain.
    pub(crate) struct Limits = "limits" {
        /// Wallet keys an organization may have.
        wallet_keys_max: u32 = 5000, within 0..=10_000_000;
        /// Percent of an organization's quotas of wallet keys, Fireblocks integrations, quorums at Privy, OpenPGP keys, calls of
        /// the registry and bytes of encrypted payloads that wallets which enrolled themselves may use; server keys may use all.
        self_registered_share_percent: u32 = 20, within 0..=100;
        /// Seconds after which the making of a key that was begun and not ended counts as interrupted by a crash: the key
        /// is adopted from the token or retired. Where this process alone has the database, a start does so at once.
        unfinished_key_seconds: u64 = 900, within 1..=86_400;
        /// Vaults that an organization may have.
        vaults_max: u32 = 1000, within 0..=1_000_000;
        /// API keys that a user may have at a time.
        user_api_keys_max: u32 = 20, within 0..=1000;
        /// Votes that a principal may give on a transaction, where each before the last no longer counted: further ones only
        /// if they end it.
        votes_per_principal_max: u32 = 16, within 1..=1000;
        /// Proposals of operators that may be open at a time.
        open_proposals_max: u32 = 100, within 1..=10_000;
        /// Seconds for which a recovery of the charter is open to be refused before it can be completed.
        recovery_delay_seconds: u64 = 604_800, within 86_400..=2_592_000;
        /// Seconds after a quorum replaced a policy within which one approver may bring it back alone, where only revisions of
        /// its plugins differ.
        rollback_window_seconds: u64 = 86_400, within 0..=2_592_000;
        /// Bytes of the change that a proposal makes, as compact JSON: 64 KiB hold a policy of a hundred bindings.
        proposal_bytes_max: usize = 64 << 10, within 1024..=1 << 20;
        /// Plugin revisions that an organization may have besides those that were revoked.
        plugin_revisions_max: u32 = 10_000, within 1..=10_000_000;
        /// Evaluations that the dry runs of an organization may store in 24 hours; then they are answered 429.
        dry_run_evaluations_daily_max: u32 = 10_000, within 1..=10_000_000;
        /// Seconds for which an `Idempotency-Key` is remembered.
        idempotency_window_seconds: u64 = 86_400, within 1..=31_536_000;
        /// Seconds for which a permit holds: how late its signature may come. A gateway that is killed between permit and
        /// signature leaves transactions that the others on its database take up after that.
        permit_seconds: u64 = 60, within 1..=60;
        /// How often a key's transactions to one recipient and function may be asked for after denials, within the window.
        denied_tries_max: u32 = 5, within 1..=20;
        /// Seconds for which a denial counts against asking again.
        denied_window_seconds: u64 = 600, within 1..=31_536_000;
        /// How often an operation starts again after losing against another write.
        contest_attempts_max: u32 = 8, within 1..=1000;
        /// Milliseconds between looks at a transaction that is under way.
        poll_interval_ms: u64 = 1000, within 10..=600_000;
        /// Milliseconds before another attempt when the HSM or a node is away.
        unavailable_pause_ms: u64 = 2000, within 10..=600_000;
        /// Milliseconds before another look at a signed transaction whose stored evidence does not hold.
        evidence_pause_ms: u64 = 60_000, within 10..=86_400_000;
    }
}

impl Limits {
    /// A quota of which self-registration has its share.
    pub(crate) fn quota(&self, max: u32) -> Quota {
        Quota { max, self_registered_max: u32::try_from(self.share(max.into())).unwrap_or(max) }
    }

    /// Self-registration's share of a quota.
    pub(crate) fn share(&self, max: u64) -> u64 {
        max.saturating_mul(self.self_registered_share_percent.into()) / 100
    }

    pub(crate) fn unfinished_key_age(&self) -> Duration {
        Duration::from_secs(self.unfinished_key_seconds)
    }

    pub(crate) fn domain_limits(&self, state: ports::StateLimits) -> ports::Limits {
        ports::Limits {
            wallet_keys_max: self.wallet_keys_max,
            vaults_max: self.vaults_max,
            user_api_keys_max: self.user_api_keys_max,
            votes_per_principal_max: self.votes_per_principal_max,
            open_proposals_max: self.open_proposals_max,
            recovery_delay: Duration::from_secs(self.recovery_delay_seconds),
            rollback_window: Duration::from_secs(self.rollback_window_seconds),
            proposal_bytes_max: self.proposal_bytes_max,
            plugin_revisions_max: self.plugin_revisions_max,
            dry_run_evaluations_daily_max: self.dry_run_evaluations_daily_max,
            self_registered_keys_max: self.quota(self.wallet_keys_max).self_registered_max,
            idempotency_window: Duration::from_secs(self.idempotency_window_seconds),
            permit_lifetime: Duration::from_secs(self.permit_seconds),
            denied_tries_max: self.denied_tries_max,
            denied_window: Duration::from_secs(self.denied_window_seconds),
            contest_attempts_max: self.contest_attempts_max,
            poll_interval: Duration::from_millis(self.poll_interval_ms),
            unavailable_pause: Duration::from_millis(self.unavailable_pause_ms),
            evidence_pause: Duration::from_millis(self.evidence_pause_ms),
            state,
        }
    }
}
