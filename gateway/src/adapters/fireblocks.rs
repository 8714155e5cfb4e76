//! Fireblocks: the client, its hosts, and the HSM key that authenticates to it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use gateway_clients::fireblocks::{FireblocksClient, TokenSigner};
use gateway_domain::{
    chain::ChainId,
    error::{Error, Result},
    fireblocks::{CertificateSubject, CheckReply, Environment, FireblocksApi, Login, Region},
    keys::{KeyPurpose, KeyRecord},
    policy::VendorPermit,
    sealed::Sealed,
    vendors::{VendorError, VendorTransaction},
};
use hsm::{CsrSubject, Hsm, Lane, SignatureScheme};
use p256::pkcs8::der::pem::{LineEnding, encode_string};

use super::{hsm_error::translate, key_reference};

/// A token that could not be signed by then is of no use to its caller.
const PATIENCE: Duration = Duration::from_secs(10);

/// Roots of the API, without a final slash.
#[derive(Clone, Debug)]
pub(crate) struct FireblocksHosts {
    pub(crate) sandbox: String,
    pub(crate) us: String,
    pub(crate) eu: String,
    pub(crate) eu2: String,
}

pub(crate) struct FireblocksVendor {
    pub(crate) client: FireblocksClient,
    pub(crate) hsm: Hsm,
    pub(crate) hosts: FireblocksHosts,
    /// Names of native assets.
    pub(crate) assets: BTreeMap<(Environment, ChainId), String>,
}

impl FireblocksVendor {
    fn host(&self, login: &Login) -> String {
        self.base_url(login.environment, login.region)
    }
}

#[async_trait]
impl FireblocksApi for FireblocksVendor {
    #[tracing::instrument(name = "hsm.csr", skip_all, fields(key.id = %key.id))]
    async fn certificate_request(
        &self,
        key: &Sealed<KeyRecord>,
        subject: &CertificateSubject,
    ) -> Result<String> {
        require_purpose(key)?;
        let subject = CsrSubject {
            common_name: subject.common_name.clone(),
            organization: Some(subject.organization.clone()),
            organizational_unit: subject.organizational_unit.clone(),
            country: Some(subject.country.clone()),
            state_or_province: subject.state.clone(),
            locality: subject.locality.clone(),
            email: subject.email.clone(),
            alternative_names: Vec::new(),
        };
        let der = self.hsm.csr(&key_reference::reference(key)?, subject).await.map_err(translate)?;
        encode_string("CERTIFICATE REQUEST", LineEnding::LF, &der)
            .map_err(|error| Error::inconsistency(error.to_string()))
    }

    fn base_url(&self, environment: Environment, region: Region) -> String {
        let FireblocksHosts { sandbox, us, eu, eu2 } = &self.hosts;
        let host = match (environment, region) {
            (Environment::Sandbox, _) => sandbox,
            (Environment::Testnet | Environment::Mainnet, Region::Us) => us,
            (Environment::Testnet | Environment::Mainnet, Region::Eu) => eu,
            (Environment::Testnet | Environment::Mainnet, Region::Eu2) => eu2,
        };
        host.clone()
    }

    fn asset(&self, environment: Environment, chain: ChainId) -> Option<String> {
        self.assets.get(&(environment, chain)).cloned()
    }

    #[tracing::instrument(name = "fireblocks.check", skip_all)]
    async fn check(&self, login: &Login) -> Result<CheckReply, VendorError> {
        self.client.check(&self.host(login), login).await
    }

    #[tracing::instrument(name = "fireblocks.find", skip_all)]
    async fn find(&self, login: &Login, external_id: &str) -> Result<Option<VendorTransaction>, VendorError> {
        self.client.find(&self.host(login), login, external_id).await
    }

    #[tracing::instrument(name = "fireblocks.create", skip_all, fields(transaction.id = %permit.record().transaction))]
    async fn create(&self, login: &Login, permit: &VendorPermit) -> Result<VendorTransaction, VendorError> {
        let record = permit.record();
        if record.key != login.key.id || record.organization != login.key.organization {
            return Err(VendorError::NotSent(Error::inconsistency("the permit is for another key")));
        }
        self.client.create(&self.host(login), login, permit).await
    }
}

/// Signs tokens with integrations' keys, and with no others.
pub(crate) struct HsmTokenSigner {
    pub(crate) hsm: Hsm,
}

#[async_trait]
impl TokenSigner for HsmTokenSigner {
    #[tracing::instrument(name = "hsm.sign_vendor_token", skip_all, fields(key.id = %key.id))]
    async fn sign_rs256(&self, key: &Sealed<KeyRecord>, message: &[u8]) -> Result<Vec<u8>> {
        require_purpose(key)?;
        let (reference, not_after) = (key_reference::reference(key)?, Instant::now() + PATIENCE);
        let scheme = SignatureScheme::RsaPkcs1Sha256;
        self.hsm.sign_message(&reference, scheme, message, Lane::Token, not_after).await.map_err(translate)
    }
}

fn require_purpose(key: &KeyRecord) -> Result<()> {
    if key.purpose == KeyPurpose::FireblocksRequest {
        Ok(())
    } else {
        Err(Error::inconsistency("the key has another purpose"))
    }
}
