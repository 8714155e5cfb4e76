//! Creating transactions from encrypted payloads.

use std::time::Duration;

use gateway_domain::{
    Address, B256, Error, OpCtx,
    actor::Actor,
    chain::ChainId,
    credentials::Label,
    identity::User,
    openpgp::MESSAGE_BYTES_MAX,
    registry::require_registry,
    sealed::Sealed,
    settings::Settings,
    transactions::{
        CreateEncryptedTransaction, ExecutionType, PlaintextRequest, RequestIdentity, RequestName,
    },
    vendors::VendorRole,
    verification::require_active_service,
};
use utoipa::ToSchema;

use super::create::{DATA_BYTES_MAX, NOTE_CHARACTERS_MAX};
use crate::{
    auth::WALLET_SIGNATURE_BYTES_MAX,
    core::{call::Call, request_digest::request_digest, shapes, transactions::execution_number},
    extract::{Fields, Json, Wire, scalar},
    failure::Failure,
    presentation,
    state::App,
};

const CID_CHARACTERS_MAX: usize = 128;
const PLAINTEXT_DEPTH_MAX: usize = 4;

/// A transaction whose content only its verification service reads.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateEncryptedTransactionDto {
    /// An armored OpenPGP message for the service's key, at most 256 KiB.
    #[schema(min_length = 1, max_length = 262_144)]
    encrypted_payload: String,
    #[schema(value_type = shapes::Hash)]
    request_hash: B256,
    /// Whose funds move: the escrow address of the user.
    #[schema(value_type = shapes::Address)]
    escrow_address: Address,
    #[schema(value_type = shapes::ChainId)]
    chain_id: ChainId,
    /// Absent means what the user's settings say.
    #[schema(value_type = Option<u8>, minimum = 0, maximum = 2)]
    execution_type: Option<ExecutionType>,
    /// Server keys only: on whose behalf.
    #[schema(value_type = Option<shapes::Address>)]
    ethereum_address: Option<Address>,
    /// Absent means the one of the user's settings.
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 4_294_967_295_u32)]
    verification_service_id: Option<u32>,
    /// Under which the client pinned the payload already.
    #[schema(min_length = 1, max_length = 128)]
    ipfs_cid: Option<String>,
    /// `personal_sign` of the request hash's 32 bytes by the user's wallet.
    #[schema(value_type = Option<shapes::WalletSignature>)]
    user_signature: Option<Vec<u8>>,
}

impl Wire for CreateEncryptedTransactionDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let encrypted_payload =
            fields.required("encryptedPayload", scalar::text_within(1, MESSAGE_BYTES_MAX));
        let request_hash = fields.required("requestHash", scalar::bytes32);
        let escrow_address = fields.required("escrowAddress", scalar::address);
        let chain_id = fields.required("chainId", scalar::chain);
        let execution_type = fields.optional("executionType", scalar::execution_type);
        let ethereum_address = fields.optional("ethereumAddress", scalar::address);
        let verification_service_id = fields.optional("verificationServiceId", scalar::service_number);
        let ipfs_cid = fields.optional("ipfsCid", scalar::text_within(1, CID_CHARACTERS_MAX));
        let user_signature = fields.optional("userSignature", scalar::bytes(WALLET_SIGNATURE_BYTES_MAX));
        Some(Self {
            encrypted_payload: encrypted_payload?,
            request_hash: request_hash?,
            escrow_address: escrow_address?,
            chain_id: chain_id?,
            execution_type,
            ethereum_address,
            verification_service_id,
            ipfs_cid,
            user_signature,
        })
    }
}

impl CreateEncryptedTransactionDto {
    pub(super) fn name(&self) -> RequestName {
        RequestName::Own(self.request_hash)
    }

    /// Without the signature: whoever signs the same request anew repeats it.
    pub(super) fn digest(&self) -> B256 {
        request_digest(
            "encrypted",
            [
                ("encryptedPayload", Some((&self.encrypted_payload).into())),
                ("requestHash", Some(presentation::hash(self.request_hash).into())),
                ("escrowAddress", Some(presentation::address(self.escrow_address).into())),
                ("chainId", Some(self.chain_id.number().to_string().into())),
                ("executionType", self.execution_type.map(|kind| execution_number(kind).to_string().into())),
                ("ethereumAddress", self.ethereum_address.map(|owner| presentation::address(owner).into())),
                ("verificationServiceId", self.verification_service_id.map(|id| id.to_string().into())),
                ("ipfsCid", self.ipfs_cid.as_deref().map(Into::into)),
            ],
        )
    }
}

/// The request, once the caller may make it for this user.
pub(super) async fn encrypted(
    app: &App,
    call: &Call,
    body: CreateEncryptedTransactionDto,
    identity: RequestIdentity,
) -> Result<CreateEncryptedTransaction, Failure> {
    if require_registry(&app.services).is_err() {
        return Err(Failure::Unconfigured("onchain_registry.address"));
    }
    app.services.require_chain(body.chain_id)?;
    let (owner, settings) = owner(app, &call.ctx, &body).await?;
    let service = body
        .verification_service_id
        .or_else(|| settings.verification_service.and_then(|service| u32::try_from(service).ok()));
    let service = service.ok_or_else(|| {
        Failure::invalid("verificationServiceId is required, for the user's settings name none")
    })?;
    let service = require_active_service(&app.services, call.ctx.organization, service).await?;
    if let Some(signature) = &body.user_signature {
        let rule = "userSignature must be the user's personal_sign of requestHash";
        call.personally_signed(&owner, (body.request_hash.as_slice(), signature), rule).await?;
    }
    if service.built_in.is_some() {
        let checked = app.rates.decryption.check(&owner.id);
        checked.map_err(|retry_after| Failure::RateLimited { retry_after })?;
    }
    let execution_type = body.execution_type.unwrap_or(settings.execution_type);
    let (provider, vendor_role) = match execution_type {
        ExecutionType::AgentExecuted => (settings.agent_provider, VendorRole::Agent),
        ExecutionType::DirectUser | ExecutionType::UserExecuted => {
            (settings.execution_provider, VendorRole::Execution)
        }
    };
    Ok(CreateEncryptedTransaction {
        owner,
        service,
        message: body.encrypted_payload,
        request_hash: body.request_hash,
        chain: body.chain_id,
        execution_type,
        provider,
        vendor_role,
        cid: body.ipfs_cid,
        user_signature: body.user_signature.unwrap_or_default(),
        requirements: settings.requirements(execution_type),
        minimum_confidence_ppm: settings.orion_confidence_threshold_ppm,
        approval_ttl: Duration::from_secs(u64::from(settings.approval_ttl_seconds)),
        identity,
        read: read_plaintext,
    })
}

/// User keys act for their owner, server keys for the user they name.
async fn owner(
    app: &App,
    ctx: &OpCtx,
    body: &CreateEncryptedTransactionDto,
) -> Result<(Sealed<User>, Settings), Failure> {
    let is_user_key = matches!(&ctx.actor, Actor::ApiKey(key) if key.label == Label::User);
    let store = &app.services.store;
    let found = match (is_user_key, body.ethereum_address) {
        (true, Some(_)) => {
            return Err(Failure::invalid("ethereumAddress may only be given with a server key"));
        }
        (true, None) => {
            let principal = ctx.principal().ok_or(Error::Unauthenticated)?;
            store.user(ctx.organization, principal).await?
        }
        (false, Some(address)) => store.user_by_address(ctx.organization, address).await?,
        (false, None) => return Err(Failure::invalid("ethereumAddress is required with a server key")),
    };
    let owner = found.ok_or_else(|| Failure::invalid("ethereumAddress must belong to a user"))?;
    if owner.escrow.map(|escrow| escrow.address()) != Some(body.escrow_address) {
        return Err(Failure::invalid("escrowAddress must belong to the user"));
    }
    let settings = store.settings(ctx.organization, owner.id).await?;
    let settings = settings.ok_or_else(|| Error::inconsistency("a user without settings"))?;
    Ok((owner, settings.into_value()))
}

/// The content of a message for the built-in service, by the rules of unencrypted requests.
struct Plaintext(PlaintextRequest);

impl Wire for Plaintext {
    fn read(fields: &mut Fields) -> Option<Self> {
        let request_hash = fields.required("requestHash", scalar::bytes32);
        let escrow_address = fields.required("escrowAddress", scalar::address);
        let chain = fields.required("chainId", scalar::chain);
        let to = fields.required("to", scalar::address);
        let value = fields.required("value", scalar::wei);
        let data = fields.required("data", scalar::bytes(DATA_BYTES_MAX));
        let note = fields.optional("note", scalar::plain_text(0, NOTE_CHARACTERS_MAX));
        Some(Self(PlaintextRequest {
            request_hash: request_hash?,
            escrow_address: escrow_address?,
            chain: chain?,
            to: to?,
            value: value?,
            data: data?,
            note,
        }))
    }
}

/// The same strict reader as for bodies (T21). Its texts name fields and rules, never values.
fn read_plaintext(bytes: &[u8]) -> Result<PlaintextRequest, String> {
    let read = || {
        let mut fields = Fields::of(Json::read(bytes, PLAINTEXT_DEPTH_MAX)?)?;
        let plaintext = Plaintext::read(&mut fields);
        fields.finish(plaintext)
    };
    match read() {
        Ok(Plaintext(request)) => Ok(request),
        Err(Failure::Domain(Error::Invalid(rules))) => Err(rules.join("; ")),
        Err(_) => Err("it is not one JSON object".to_owned()),
    }
}
