//! Creating transactions.

use std::{sync::Arc, time::Duration};

use axum::extract::State;
use gateway_domain::{
    Address, B256, Error, OpCtx, U256,
    chain::ChainId,
    credentials::Scope,
    error::Internal,
    evaluations::Evaluation,
    identity::User,
    ids::{OrganizationId, TransactionId},
    payloads,
    sealed::Sealed,
    settings::Settings,
    transactions::{
        self, CreateEncryptedTransaction, CreateTransaction, Created, ExecutionType, IdempotencyKey,
        Provider, RequestIdentity, RequestName, State as TransactionState,
    },
    vendors::VendorRole,
};
use tokio::sync::oneshot;
use tracing::Instrument as _;
use utoipa::ToSchema;

use super::encrypted::{CreateEncryptedTransactionDto, encrypted};
use crate::{
    answer::{Answered, created},
    core::{
        call::Call,
        request_digest::request_digest,
        shapes,
        transactions::{Hearing, TransactionResponse, execution_number},
    },
    extract::{Fields, Wire, scalar},
    failure::Failure,
    presentation,
    state::App,
};

pub(super) const DATA_BYTES_MAX: usize = 128 * 1024;
pub(super) const NOTE_CHARACTERS_MAX: usize = 256;
const IDEMPOTENCY_KEY_CHARACTERS_MAX: usize = 256;

/// A transaction whose content the gateway reads.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateTrustedTransactionDto {
    /// Whose funds move: the escrow address of a user.
    #[schema(value_type = shapes::Address)]
    escrow_address: Address,
    #[schema(value_type = shapes::Address)]
    to: Address,
    /// Wei in decimal digits, below 2^256.
    #[schema(value_type = shapes::Wei)]
    value: U256,
    /// Call data, at most 128 KiB; absent means none.
    #[schema(value_type = Option<shapes::CallData>)]
    data: Vec<u8>,
    #[schema(value_type = shapes::ChainId)]
    chain_id: ChainId,
    /// Only 0 may be sent unencrypted.
    #[schema(value_type = Option<u8>, minimum = 0, maximum = 2)]
    execution_type: ExecutionType,
    /// The client's own; needs `requestNonce` and must equal the formula over the other fields.
    #[schema(value_type = Option<shapes::Hash>)]
    request_hash: Option<B256>,
    #[schema(value_type = Option<shapes::RequestNonce>)]
    request_nonce: Option<U256>,
    #[schema(max_length = 256, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    note: Option<String>,
}

impl Wire for CreateTrustedTransactionDto {
    fn read(fields: &mut Fields) -> Option<Self> {
        let escrow_address = fields.required("escrowAddress", scalar::address);
        let to = fields.required("to", scalar::address);
        let value = fields.required("value", scalar::wei);
        let data = fields.optional("data", scalar::bytes(DATA_BYTES_MAX)).unwrap_or_default();
        let chain_id = fields.required("chainId", scalar::chain);
        let execution_type = fields.optional("executionType", scalar::execution_type);
        match (fields.has("requestHash"), fields.has("requestNonce")) {
            (true, false) => fields.fault("requestHash needs requestNonce"),
            (false, true) => fields.fault("requestNonce needs requestHash"),
            (true, true) | (false, false) => {}
        }
        let request_hash = fields.optional("requestHash", scalar::bytes32);
        let request_nonce = fields.optional("requestNonce", scalar::wei);
        let note = fields.optional("note", scalar::plain_text(0, NOTE_CHARACTERS_MAX));
        Some(Self {
            escrow_address: escrow_address?,
            to: to?,
            value: value?,
            data,
            chain_id: chain_id?,
            execution_type: execution_type.unwrap_or(ExecutionType::DirectUser),
            request_hash,
            request_nonce,
            note,
        })
    }
}

impl CreateTrustedTransactionDto {
    fn name(&self) -> Option<RequestName> {
        let (hash, nonce) = (self.request_hash?, self.request_nonce?);
        Some(RequestName::Formula { hash, nonce })
    }

    fn digest(&self) -> B256 {
        request_digest(
            "trusted",
            [
                ("escrowAddress", Some(presentation::address(self.escrow_address).into())),
                ("to", Some(presentation::address(self.to).into())),
                ("value", Some(self.value.to_string().into())),
                ("data", Some(presentation::bytes(&self.data).into())),
                ("chainId", Some(self.chain_id.number().to_string().into())),
                ("executionType", Some(execution_number(self.execution_type).to_string().into())),
                ("requestHash", self.request_hash.map(|hash| presentation::hash(hash).into())),
                ("requestNonce", self.request_nonce.map(|nonce| nonce.to_string().into())),
                ("note", self.note.as_deref().map(Into::into)),
            ],
        )
    }
}

/// The two forms a body may have; one that mixes them is neither.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the choice; each form is read where it is used")]
pub(crate) enum CreateTransactionDto {
    Encrypted(CreateEncryptedTransactionDto),
    Trusted(CreateTrustedTransactionDto),
}

/// A body in one of the two forms, by a caller who may use it.
enum Body {
    Encrypted(Box<CreateEncryptedTransactionDto>),
    Trusted(Box<CreateTrustedTransactionDto>),
}

impl Body {
    fn read(app: &App, call: &Call) -> Result<Self, Failure> {
        let json = call.body.json(&app.config)?;
        let clear = ["to", "value", "data"].iter().any(|name| json.has_member(name));
        match (json.has_member("encryptedPayload"), clear) {
            (true, false) => Ok(Self::Encrypted(Box::new(call.body()?))),
            (false, true) => trusted_body(call).map(|body| Self::Trusted(Box::new(body))),
            (true, true) | (false, false) => {
                Err(Failure::invalid("body must have either encryptedPayload or to and value"))
            }
        }
    }

    fn name(&self) -> Option<RequestName> {
        match self {
            Self::Encrypted(body) => Some(body.name()),
            Self::Trusted(body) => body.name(),
        }
    }

    fn digest(&self) -> B256 {
        match self {
            Self::Encrypted(body) => body.digest(),
            Self::Trusted(body) => body.digest(),
        }
    }

    /// With what settings, services and vendors say now.
    async fn asked(self, app: &App, call: &Call, identity: RequestIdentity) -> Result<Asked, Failure> {
        Ok(match self {
            Self::Encrypted(body) => Asked::Encrypted(Box::new(encrypted(app, call, *body, identity).await?)),
            Self::Trusted(body) => Asked::Trusted(Box::new(trusted(app, call, *body, identity).await?)),
        })
    }
}

fn trusted_body(call: &Call) -> Result<CreateTrustedTransactionDto, Failure> {
    if !call.ctx.has_scope(Scope::Admin) {
        return Err(Error::Forbidden("an unencrypted payload needs an admin key").into());
    }
    let body: CreateTrustedTransactionDto = call.body()?;
    if body.execution_type != ExecutionType::DirectUser {
        return Err(Error::Forbidden("an unencrypted payload may only have executionType 0").into());
    }
    Ok(body)
}

/// Asks that a transaction be judged and, once approved, executed. One that needs nobody is signed before the
/// answer, unless that takes too long. An equal request under the same `requestHash` or `Idempotency-Key` is answered with
/// the transaction that the first one made.
#[utoipa::path(
    post,
    path = "/transactions",
    tag = "Transactions",
    params((
        "Idempotency-Key" = Option<String>,
        Header,
        min_length = 1,
        max_length = 256,
        pattern = "^[!-~]([ -~]*[!-~])?$",
        description = "Bound to body and outcome."
    )),
    request_body = CreateTransactionDto,
    responses((status = 201, body = TransactionResponse))
)]
pub(crate) async fn create_transaction(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<TransactionResponse> {
    let body = Body::read(&app, &call)?;
    let identity = RequestIdentity { digest: body.digest(), idempotency: idempotency_key(&call)? };
    let earlier = transactions::made_earlier(&call.ctx, &app.services, body.name(), &identity).await?;
    let Made { id, evaluations, publishes } = match earlier {
        Some(earlier) => Made::earlier(&earlier),
        None => make(&app, &call.ctx, body.asked(&app, &call, identity).await?).await?,
    };
    if publishes {
        publish_now(&app, call.ctx.organization, id).await;
    }
    let organization = call.ctx.organization;
    let stored = app.services.store.transaction(organization, id).await?;
    let stored = stored.ok_or_else(|| Error::inconsistency("a transaction vanished after it was stored"))?;
    let policy = Hearing::policy(&app.services, organization).await?;
    let hearing = match evaluations {
        // Nobody but its bindings has spoken on a transaction this young.
        Some(evaluations) => Hearing::of_new(&app.services, &policy, stored, evaluations).await?,
        None => Hearing::of(&app.services, &policy, stored).await?,
    };
    Ok(created(TransactionResponse::of(&hearing)))
}

/// Publishes a new encrypted payload in a task of its own and waits a bounded time for its record on chain.
async fn publish_now(app: &App, organization: OrganizationId, id: TransactionId) {
    app.settled(move |services| async move { payloads::publish(&services, organization, id).await }).await;
}

async fn trusted(
    app: &App,
    call: &Call,
    body: CreateTrustedTransactionDto,
    identity: RequestIdentity,
) -> Result<CreateTransaction, Failure> {
    app.services.require_chain(body.chain_id)?;
    let (owner, settings) = owner_of(app, &call.ctx, body.escrow_address).await?;
    Ok(CreateTransaction {
        name: body.name(),
        identity,
        owner,
        chain: body.chain_id,
        to: Some(body.to),
        value: body.value,
        data: body.data,
        execution_type: body.execution_type,
        provider: settings.execution_provider,
        vendor_role: VendorRole::Execution,
        note: body.note,
        requirements: settings.requirements(body.execution_type),
        minimum_confidence_ppm: settings.orion_confidence_threshold_ppm,
        approval_ttl: Duration::from_secs(u64::from(settings.approval_ttl_seconds)),
    })
}

async fn owner_of(app: &App, ctx: &OpCtx, escrow: Address) -> Result<(Sealed<User>, Settings), Failure> {
    let found = app.services.store.user_by_escrow_address(ctx.organization, escrow).await?;
    let owner = found.ok_or_else(|| Failure::invalid("escrowAddress must belong to a user"))?;
    let settings = app.services.store.settings(ctx.organization, owner.id).await?;
    let settings = settings.ok_or_else(|| Error::inconsistency("a user without settings"))?;
    Ok((owner, settings.into_value()))
}

fn idempotency_key(call: &Call) -> Result<Option<IdempotencyKey>, Failure> {
    let mut values = call.headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| {
        values.next().is_none() && !text.is_empty() && text.len() <= IDEMPOTENCY_KEY_CHARACTERS_MAX
    });
    let rule = "header idempotency-key must be given once, with 1 to 256 visible ASCII characters";
    let key = text.ok_or_else(|| Failure::invalid(rule))?.to_owned();
    Ok(Some(IdempotencyKey { key, body_hash: call.body.hash() }))
}

/// Either form, once the caller may make it.
pub(crate) enum Asked {
    Encrypted(Box<CreateEncryptedTransaction>),
    Trusted(Box<CreateTransaction>),
}

/// What the client waits for before anything else.
pub(crate) struct Made {
    pub(crate) id: TransactionId,
    /// Absent when an equal request had made the transaction before.
    evaluations: Option<Vec<Sealed<Evaluation>>>,
    /// Whether a payload is still to be pinned and put on record.
    publishes: bool,
}

impl Made {
    pub(crate) fn earlier(earlier: &Created) -> Self {
        Self { id: earlier.transaction.id, evaluations: None, publishes: false }
    }
}

/// Judges and stores the transaction, and signs and sends it, or hands it over, where it is approved, in a task that
/// a leaving client cannot cancel; waits for the last part a bounded time. Whatever is left over the outbox takes up.
pub(crate) async fn make(app: &App, ctx: &OpCtx, request: Asked) -> Result<Made, Failure> {
    let (tell, told) = oneshot::channel();
    let (finish, finished) = oneshot::channel();
    let (services, ctx) = (app.services.clone(), ctx.clone());
    let work = async move {
        let made = match request {
            Asked::Encrypted(request) => transactions::create_encrypted(&ctx, &services, *request).await,
            Asked::Trusted(request) => transactions::create(&ctx, &services, *request).await,
        };
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                // Nobody is told of the failure if the client has gone.
                let _ = tell.send(Err(error));
                return;
            }
        };
        let id = made.transaction.id;
        let evaluations = made.is_new.then(|| made.evaluations.clone());
        let publishes = made.is_new
            && made.transaction.verification_service.is_some()
            && !made.transaction.state.is_final();
        let _ = tell.send(Ok(Made { id, evaluations, publishes }));
        let transaction = &made.transaction;
        let is_ours =
            transaction.state == TransactionState::Approved && transaction.provider != Provider::None;
        if is_ours && let Err(error) = transactions::carry_on(&services, made).await {
            tracing::warn!(transaction.id = %id, %error, "an approved transaction is left to the outbox");
        }
        // The request may have given up waiting.
        let _ = finish.send(());
    };
    (app.spawner)(Box::pin(work.in_current_span()));
    let made =
        told.await.map_err(|_| Error::Internal(Internal::new("the task that makes it ended early")))??;
    let _ = tokio::time::timeout(app.config.inline_signing_wait(), finished).await;
    Ok(made)
}
