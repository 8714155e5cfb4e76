//! Founding the charter, and taking an operator out of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use uuid::Uuid;

use super::{
    Charter, CharterChange, DEPLOYMENT, Operator, OperatorRole, change::NewOperator, require_charter,
    require_stopper,
};
use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, OperatorWrite, Write},
    clock::Timestamp,
    error::{Error, Result},
    ids::OperatorId,
    ports::Services,
    text::is_plain_in_line,
};

const NAME_CHARACTERS_MAX: usize = 64;
/// Nobody alone, even if the proposer and one approver are the same person under two names.
const APPROVALS_MIN: u32 = 2;
const LAST_QUORUM: Error =
    Error::Conflict("the charter could carry no proposal without this operator; enrol another first");

/// The genesis record, and what writes it.
pub fn charter_founding(
    ctx: &OpCtx,
    services: &Services,
    operators: Vec<NewOperator>,
    approvals_required: u32,
) -> Result<(Charter, ChangeSet)> {
    let empty = Charter { revision: 0, operators: Vec::new(), approvals_required, updated_at: ctx.now };
    let genesis = CharterChange {
        enrolled: operators,
        revoked: BTreeSet::new(),
        roles: BTreeMap::new(),
        approvals_required,
        replaces: None,
    };
    let charter = empty.next(ctx, services, &genesis)?;
    let changes = ChangeSet::new(charter.event(ctx, "charter.founded"));
    let changes =
        changes.write(Write::Operators(OperatorWrite::InsertCharter(services.sealer.seal(charter.clone()))));
    Ok((charter, changes))
}

/// What a founding would refuse these operators for, told before anything is made for them.
pub fn check_founding(operators: &[NewOperator], approvals_required: u32) -> Result<()> {
    let numbered = operators.iter().zip(1_u128..);
    let began = Timestamp::from_unix_micros(0);
    let operators = numbered.map(|(new, number)| Operator {
        id: OperatorId::from_uuid(Uuid::from_u128(number)),
        name: new.name.clone(),
        public_key: new.public_key.clone(),
        roles: new.roles.clone(),
        enrolled_at: began,
        revoked_at: None,
    });
    Charter { revision: 1, operators: operators.collect(), approvals_required, updated_at: began }.check()
}

/// Ends an operator's power at once. Refused if the charter could carry no proposal afterwards: then nothing but the
/// recovery of the whole charter would be left. Who was revoked meanwhile revokes nobody, so that of two who revoke each
/// other one stays.
pub async fn revoke_operator(ctx: &OpCtx, services: &Services, id: OperatorId) -> Result<Charter> {
    let caller = require_stopper(ctx)?.operator;
    for _ in 0..services.limits.contest_attempts_max.max(1) {
        let mut charter = require_charter(services).await?.into_value();
        if !charter.operator(caller).is_some_and(Operator::may_stop) {
            return Err(Error::Unauthenticated);
        }
        let operator = charter.operators.iter_mut().find(|operator| operator.id == id);
        let operator = operator.ok_or(Error::NotFound("operator"))?;
        if operator.revoked_at.is_some() {
            return Ok(charter);
        }
        operator.revoked_at = Some(ctx.now);
        charter.revision += 1;
        charter.updated_at = ctx.now;
        charter.check().map_err(|_| LAST_QUORUM)?;
        let changes = ChangeSet::new(charter.event(ctx, "operator.revoked"));
        let write = Write::Operators(OperatorWrite::UpdateCharter(services.sealer.seal(charter.clone())));
        match services.store.commit(changes.write(write)).await {
            Ok(()) => return Ok(charter),
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the charter"))
}

impl Charter {
    pub fn operator(&self, id: OperatorId) -> Option<&Operator> {
        self.operators.iter().find(|operator| operator.id == id)
    }

    /// The next revision.
    pub(super) fn next(&self, ctx: &OpCtx, services: &Services, change: &CharterChange) -> Result<Self> {
        let approvals_required = change.approvals_required;
        let mut next =
            Self { revision: self.revision + 1, approvals_required, updated_at: ctx.now, ..self.clone() };
        for id in &change.revoked {
            next.active(*id, "revoked")?.revoked_at = Some(ctx.now);
        }
        for (id, roles) in &change.roles {
            next.active(*id, "roles")?.roles.clone_from(roles);
        }
        next.operators.extend(change.enrolled.iter().cloned().map(|new| Operator {
            id: OperatorId::generate(ctx.now, services.entropy.as_ref()),
            name: new.name,
            public_key: new.public_key,
            roles: new.roles,
            enrolled_at: ctx.now,
            revoked_at: None,
        }));
        next.check()?;
        Ok(next)
    }

    /// Who is to be changed, and was not revoked before.
    fn active(&mut self, id: OperatorId, field: &str) -> Result<&mut Operator> {
        let found = self.operators.iter_mut().find(|operator| operator.id == id && operator.is_active());
        found.ok_or_else(|| Error::invalid(format!("{field} names {id}, who is no operator")))
    }

    /// A charter that nobody alone can use, and that can still be used.
    fn check(&self) -> Result<()> {
        let mut faults = Vec::new();
        if self.approvals_required < APPROVALS_MIN {
            faults.push(format!("approvals_required must be at least {APPROVALS_MIN}"));
        }
        for operator in &self.operators {
            let length = operator.name.chars().count();
            if !(1..=NAME_CHARACTERS_MAX).contains(&length) || !operator.name.chars().all(is_plain_in_line) {
                faults.push(format!("name must have 1 to {NAME_CHARACTERS_MAX} printable characters"));
            }
            if operator.roles.is_empty() {
                faults.push(format!("operator `{}` must have a role", operator.name.escape_debug()));
            }
        }
        let active = || self.operators.iter().filter(|operator| operator.is_active());
        let names: BTreeSet<_> = active().map(|operator| &operator.name).collect();
        if names.len() != active().count() {
            faults.push("name: operators must have different names".to_owned());
        }
        let keys: BTreeSet<_> =
            self.operators.iter().map(|operator| operator.public_key.to_string()).collect();
        if keys.len() != self.operators.len() {
            faults.push("public_key: a public key must be enrolled once, and never again".to_owned());
        }
        let required = self.approvals_required as usize;
        let can_be_carried = |author: &Operator| {
            let approvers = active().filter(|operator| operator.has(OperatorRole::Approver));
            approvers.filter(|operator| operator.id != author.id).count() >= required
        };
        if !active().any(|operator| operator.has(OperatorRole::Author) && can_be_carried(operator)) {
            faults.push(format!(
                "roles: there must be an author, and {} approvers beside (approvals_required)",
                self.approvals_required
            ));
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
    }

    /// The whole revision goes on record.
    pub(super) fn event(&self, ctx: &OpCtx, action: &'static str) -> AuditEvent {
        let ctx = OpCtx { organization: DEPLOYMENT, ..ctx.clone() };
        AuditEvent::new(&ctx, action, format!("charter {}", self.revision), json!(self))
    }
}
