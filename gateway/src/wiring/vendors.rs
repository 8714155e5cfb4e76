//! Connects the vendors that the configuration names.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use gateway_clients::{egress::Egress, fireblocks::FireblocksClient, privy::PrivyClient};
use gateway_domain::{
    Clock, entropy::Entropy, fireblocks::FireblocksApi, quorums::PrivyApi, secrets::SecretText,
    vendors::Vendors,
};
use hsm::Hsm;
use zeroize::Zeroizing;

use crate::{
    adapters::{
        fireblocks::{FireblocksHosts, FireblocksVendor, HsmTokenSigner},
        privy::HsmRequestAuthorizer,
        secrets::HsmSecretVault,
    },
    config::{Config, Fireblocks, Secret},
    system_keys::SealingKeys,
};

type Sources = (Arc<dyn Clock>, Arc<dyn Entropy>);

pub(super) fn connect(
    config: &Config,
    hsm: &Hsm,
    secrets: SealingKeys,
    (clock, entropy): Sources,
) -> Result<Vendors> {
    let egress = Egress::new(config.egress.egress_config()?).context("building the egress client")?;
    let privy = privy(config, hsm, &egress, &clock);
    let fireblocks = &config.fireblocks;
    let fireblocks =
        fireblocks.enabled.then(|| connect_fireblocks(fireblocks, hsm, &egress, (clock, entropy)));
    Ok(Vendors {
        secrets: Arc::new(HsmSecretVault { hsm: hsm.clone(), keys: secrets }),
        fireblocks: fireblocks.transpose()?,
        privy,
        static_quorum: config.privy.static_quorum(),
        arbiter_key: config.privy.arbiter_key()?,
        limits: config.fireblocks.vendor_limits(&config.limits, &config.privy),
    })
}

fn connect_fireblocks(
    config: &Fireblocks,
    hsm: &Hsm,
    egress: &Egress,
    (clock, entropy): Sources,
) -> Result<Arc<dyn FireblocksApi>> {
    let root = |url: &str| url.trim_end_matches('/').to_owned();
    let signer = Arc::new(HsmTokenSigner { hsm: hsm.clone() });
    Ok(Arc::new(FireblocksVendor {
        client: FireblocksClient { egress: egress.clone(), signer, clock, entropy },
        hsm: hsm.clone(),
        hosts: FireblocksHosts {
            sandbox: root(&config.sandbox_url),
            us: root(&config.us_url),
            eu: root(&config.eu_url),
            eu2: root(&config.eu2_url),
        },
        assets: config.asset_names()?,
    }))
}

fn privy(config: &Config, hsm: &Hsm, egress: &Egress, clock: &Arc<dyn Clock>) -> Option<Arc<dyn PrivyApi>> {
    let section = &config.privy;
    let app_id = section.app_id.clone()?;
    let secret = section.app_secret.as_ref().map_or("", Secret::expose);
    Some(Arc::new(PrivyClient {
        egress: egress.clone(),
        base_url: section.url.trim_end_matches('/').to_owned(),
        app_id,
        app_secret: SecretText::new(Zeroizing::new(secret.to_owned())),
        authorizer: Arc::new(HsmRequestAuthorizer { hsm: hsm.clone(), clock: clock.clone() }),
    }))
}
