//! Bodies of the integration's operations.

use gateway_domain::{
    Address, Error, Result,
    fireblocks::{Access, CertificateSubject, Environment, Integration, Region, Validation, fingerprint},
    keys::KeyRecord,
    secrets::SecretText,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    core::shapes,
    extract::{Fields, Json, Wire, scalar},
    presentation,
};

const API_KEY_CHARACTERS_MAX: usize = 128;
const VAULT_ACCOUNT_DIGITS_MAX: usize = 20;

/// The certificate's subject, with the upper bounds of X.520.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GenerateCsrDto {
    #[schema(min_length = 1, max_length = 64, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    common_name: String,
    #[schema(min_length = 1, max_length = 64, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    organization: String,
    #[schema(pattern = "^[A-Za-z]{2}$")]
    country: String,
    #[schema(min_length = 1, max_length = 64, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    organizational_unit: Option<String>,
    #[schema(min_length = 1, max_length = 128, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    state: Option<String>,
    #[schema(min_length = 1, max_length = 128, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    locality: Option<String>,
    #[schema(format = "email", max_length = 255, pattern = r"^[!-?A-~]+@[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)+$")]
    email: Option<String>,
    /// Default false. Whether an existing integration gets a new key and loses its API key.
    #[schema(value_type = Option<bool>)]
    pub(super) recreate: bool,
}

impl Wire for GenerateCsrDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let common_name = fields.required("commonName", scalar::plain_text(1, 64));
        let organization = fields.required("organization", scalar::plain_text(1, 64));
        let country = fields.required("country", country);
        let organizational_unit = fields.optional("organizationalUnit", scalar::plain_text(1, 64));
        let state = fields.optional("state", scalar::plain_text(1, 128));
        let locality = fields.optional("locality", scalar::plain_text(1, 128));
        let email = fields.optional("email", ascii_email);
        let recreate = fields.optional("recreate", scalar::boolean).unwrap_or(false);
        Some(Self {
            common_name: common_name?,
            organization: organization?,
            country: country?,
            organizational_unit,
            state,
            locality,
            email,
            recreate,
        })
    }
}

impl GenerateCsrDto {
    pub(super) fn into_subject(self) -> CertificateSubject {
        let Self {
            common_name,
            organization,
            country,
            organizational_unit,
            state,
            locality,
            email,
            recreate: _,
        } = self;
        CertificateSubject { common_name, organization, country, organizational_unit, state, locality, email }
    }
}

fn country(json: &Json) -> Result<String, String> {
    let text = scalar::plain_text(2, 2)(json).ok();
    let letters = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_alphabetic()));
    letters.ok_or_else(|| "must be two letters".to_owned())
}

/// A distinguished name holds e-mail addresses in ASCII.
fn ascii_email(json: &Json) -> Result<String, String> {
    let text = scalar::email(json)?;
    if text.is_ascii() { Ok(text) } else { Err("must be an e-mail address in ASCII".to_owned()) }
}

/// What the user brings back from Fireblocks.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CompleteIntegrationDto {
    #[schema(value_type = String, pattern = "^[A-Za-z0-9-]{1,128}$")]
    pub(super) api_key: SecretText,
    #[schema(pattern = "^[0-9]{1,20}$")]
    pub(super) vault_account_id: String,
    #[schema(value_type = shapes::Environment)]
    pub(super) environment: Environment,
    /// US for sandbox.
    #[schema(value_type = shapes::Region)]
    pub(super) region: Region,
}

impl Wire for CompleteIntegrationDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let environments = Environment::ALL.map(|environment| (environment.as_str(), environment));
        let regions = Region::ALL.map(|region| (region.as_str(), region));
        let api_key = fields.required("apiKey", api_key);
        let vault_account_id = fields.required("vaultAccountId", vault_account);
        let environment = fields.required("environment", scalar::choice(&environments));
        let region = fields.required("region", scalar::choice(&regions));
        Some(Self {
            api_key: api_key?,
            vault_account_id: vault_account_id?,
            environment: environment?,
            region: region?,
        })
    }
}

fn api_key(json: &Json) -> Result<SecretText, String> {
    let text = scalar::plain_text(1, API_KEY_CHARACTERS_MAX)(json)?;
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        Ok(SecretText::new(text))
    } else {
        Err("must have letters, digits and hyphens only".to_owned())
    }
}

fn vault_account(json: &Json) -> Result<String, String> {
    let text = scalar::plain_text(1, VAULT_ACCOUNT_DIGITS_MAX)(json).ok();
    let digits = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.ok_or_else(|| format!("must be 1 to {VAULT_ACCOUNT_DIGITS_MAX} digits"))
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FireblocksCsrResponse {
    #[serde(rename = "type")]
    #[schema(value_type = shapes::VendorRole)]
    role: &'static str,
    /// PKCS #10 in PEM.
    csr: String,
    #[schema(format = "uuid")]
    key_id: String,
    /// Hex SHA-256 of the `SubjectPublicKeyInfo`.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    public_key_fingerprint: String,
    #[schema(value_type = shapes::IntegrationStatus)]
    status: &'static str,
    #[schema(format = "date-time")]
    created_at: String,
}

impl FireblocksCsrResponse {
    pub(super) fn of(integration: &Integration, key: &KeyRecord) -> Result<Self> {
        let public_key = key.public_key.as_ref();
        let public_key = public_key.ok_or_else(|| Error::inconsistency("the key was never activated"))?;
        Ok(Self {
            role: integration.role.as_str(),
            csr: integration.csr.clone(),
            key_id: integration.key.to_string(),
            public_key_fingerprint: fingerprint(public_key)?,
            status: integration.state.name(),
            created_at: presentation::time(integration.csr_created_at),
        })
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FireblocksIntegrationResponse {
    #[serde(rename = "type")]
    #[schema(value_type = shapes::VendorRole)]
    role: &'static str,
    #[schema(value_type = shapes::IntegrationStatus)]
    status: &'static str,
    csr: String,
    #[schema(format = "uuid")]
    key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    vault_account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Environment>)]
    environment: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Region>)]
    region: Option<&'static str>,
    /// The end of the API key, which is never shown whole here.
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_last4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    last_validated_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_validation_error: Option<String>,
    #[schema(format = "date-time")]
    created_at: String,
    #[schema(format = "date-time")]
    updated_at: String,
}

impl FireblocksIntegrationResponse {
    pub(super) fn of(integration: &Integration) -> Self {
        let access = integration.state.access();
        Self {
            role: integration.role.as_str(),
            status: integration.state.name(),
            csr: integration.csr.clone(),
            key_id: integration.key.to_string(),
            vault_account_id: access.map(|access| access.vault_account.clone()),
            environment: access.map(|access| access.environment.as_str()),
            region: access.map(|access| access.region.as_str()),
            api_key_last4: access.map(|access| access.api_key_last4.clone()),
            last_validated_at: access.and_then(|access| access.validated_at).map(presentation::time),
            last_validation_error: access.and_then(|access| access.validation_error.clone()),
            created_at: presentation::time(integration.created_at),
            updated_at: presentation::time(integration.updated_at),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FireblocksValidationResponse {
    valid: bool,
    #[schema(format = "date-time")]
    checked_at: String,
    /// What Fireblocks answered; absent when it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 599)]
    http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl FireblocksValidationResponse {
    pub(super) fn of(validation: Validation) -> Self {
        let Validation { valid, checked_at, http_status, error } = validation;
        Self { valid, checked_at: presentation::time(checked_at), http_status, error }
    }
}

/// Everything an executor needs but the private key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FireblocksConfigResponse {
    #[serde(rename = "type")]
    #[schema(value_type = shapes::VendorRole)]
    role: &'static str,
    #[schema(value_type = shapes::Address)]
    ethereum_address: String,
    api_key: String,
    vault_account_id: String,
    #[schema(value_type = shapes::Environment)]
    environment: &'static str,
    #[schema(value_type = shapes::Region)]
    region: &'static str,
    #[schema(format = "uri")]
    base_url: String,
    #[schema(format = "uuid")]
    key_id: String,
    #[schema(value_type = shapes::IntegrationStatus)]
    status: &'static str,
}

impl FireblocksConfigResponse {
    pub(super) fn of(
        integration: &Integration,
        access: &Access,
        (address, base_url, api_key): (Address, String, &SecretText),
    ) -> Self {
        Self {
            role: integration.role.as_str(),
            ethereum_address: presentation::address(address),
            api_key: api_key.expose().to_owned(),
            vault_account_id: access.vault_account.clone(),
            environment: access.environment.as_str(),
            region: access.region.as_str(),
            base_url,
            key_id: integration.key.to_string(),
            status: integration.state.name(),
        }
    }
}
