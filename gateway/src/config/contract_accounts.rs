//! `[core.contract_accounts]`: whether users' wallets may be contracts (ERC-1271), and how those are asked.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gateway_domain::identity::{ContractAccountLimits, ContractAccounts};

use super::{Chain, section::section};

section! {
    /// Users whose wallet is a contract (ERC-1271). An operator enrols each with `countersign contract-account`; what such
    /// a wallet signs is the word of the chain's nodes about a finalized block.
    pub(crate) struct ContractAccountRules = "core.contract_accounts" {
        /// Takes contract accounts. Without it, whoever is enrolled as one can neither log in nor sign.
        enabled: bool = false;
        /// Nodes of the chain that must say yes, while none says no; the chain needs as many different `rpc_urls`.
        agreement: usize = 2, within 2..=16;
        /// Gas that a contract may use for its answer.
        call_gas_max: u64 = 1_000_000, within 50_000..=100_000_000;
        /// Milliseconds within which the nodes must have agreed. More than `chains.rpc_call_timeout_ms`, so that a node that
        /// hangs is done without.
        answer_timeout_ms: u64 = 25_000, within 100..=600_000;
        /// Seconds by which the finalized block that is asked about may lie behind this machine's clock: no longer does a
        /// removed owner's signature count.
        block_age_max_seconds: u64 = 3600, within 60..=604_800;
        /// Bytes of a contract account's signature.
        signature_bytes_max: usize = 4096, within 65..=4096;
        /// Questions to nodes about contracts that may be under way at once; further requests are answered 503.
        questions_max: usize = 16, within 1..=1024;
        /// Those of them for users of one organization. Fewer than `questions_max` leave places to other organizations.
        questions_per_organization_max: usize = 8, within 1..=1024;
        /// Those of them about one contract account. Fewer than `questions_per_organization_max` leave places to other
        /// accounts.
        questions_per_account_max: usize = 4, within 1..=1024;
        /// Those of them that requests from one source cause. Fewer than `questions_per_account_max` leave places to the
        /// account's owner.
        questions_per_source_max: usize = 2, within 1..=1024;
    }
}

impl ContractAccountRules {
    pub(crate) fn contract_accounts(&self) -> Option<Arc<ContractAccounts>> {
        let limits = ContractAccountLimits {
            agreement: self.agreement,
            call_gas_max: self.call_gas_max,
            answer_timeout: Duration::from_millis(self.answer_timeout_ms),
            block_age_max: Duration::from_secs(self.block_age_max_seconds),
            signature_bytes_max: self.signature_bytes_max,
            questions_max: self.questions_max,
            questions_per_organization_max: self.questions_per_organization_max,
            questions_per_account_max: self.questions_per_account_max,
            questions_per_source_max: self.questions_per_source_max,
        };
        self.enabled.then(|| Arc::new(ContractAccounts::new(limits)))
    }

    /// One node under one URL given twice agrees with itself.
    pub(super) fn check(&self, chains: &[Chain], faults: &mut Vec<String>) {
        let nodes = |chain: &Chain| {
            let urls = chain.chain_config().map(|chain| chain.rpc_urls).unwrap_or_default();
            urls.iter().map(|url| url.expose().to_owned()).collect::<BTreeSet<_>>().len()
        };
        if self.enabled && !chains.iter().any(|chain| nodes(chain) >= self.agreement) {
            let agreement = self.agreement;
            faults.push(format!(
                "`core.contract_accounts.agreement` needs a chain with at least {agreement} different `rpc_urls`"
            ));
        }
    }
}
