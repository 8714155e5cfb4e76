//! A transaction in the contract's words.

use gateway_domain::{
    Address, U256,
    approvals::{EvidenceLevel, Vote},
    chain::{ChainId, DecodedArgument},
    ports::EvaluationRequest,
    transactions::{ExecutionType, Provider},
};
use plugin_host::{Approval, Argument, Call, Ceilings, ClaimedTransaction, VerifiedTransaction};

const NOTE_BYTES_MAX: usize = 1024;

pub(super) fn verified(request: &EvaluationRequest) -> VerifiedTransaction {
    let transaction = &request.transaction;
    let intent = &transaction.intent;
    VerifiedTransaction {
        organization_id: transaction.organization.to_string(),
        transaction_id: transaction.id.to_string(),
        initiator_id: transaction.initiator.to_string(),
        owner_id: transaction.owner.to_string(),
        created_at_ms: transaction.created_at.unix_millis(),
        key_id: intent.key.to_string(),
        provider: provider(transaction.provider).to_owned(),
        chain: intent.chain.to_string(),
        kind: kind(intent.to.is_some(), &intent.data).to_owned(),
        sender: address(intent.from),
        recipient: intent.to.map(address),
        value: intent.value.to_string(),
        data: intent.data.clone(),
        call: call(request),
        ceilings: Ceilings {
            gas_limit: Some(intent.ceilings.gas),
            fee_per_gas: Some(intent.ceilings.fee_per_gas.to_string()),
            priority_fee_per_gas: None,
            total_fee: Some(intent.ceilings.total.saturating_sub(intent.value).to_string()),
        },
        approvals: request.approvals.iter().map(approval).collect(),
        transactions_to_recipient: request.executed_to_recipient,
        extra: intent
            .vendor_account
            .iter()
            .map(|account| ("vendor-account".to_owned(), account.canonical()))
            .collect(),
    }
}

fn call(request: &EvaluationRequest) -> Option<Call> {
    let selector = selector(&request.transaction.intent.data)?;
    let decoded = request.call.as_ref();
    let argument = |argument: &DecodedArgument| Argument {
        name: argument.name.clone(),
        abi_type: argument.kind.clone(),
        // People read addresses with their checksum; the contract with plugins has them all in one form.
        value: if argument.kind == "address" {
            argument.value.to_ascii_lowercase()
        } else {
            argument.value.clone()
        },
    };
    Some(Call {
        selector,
        function: decoded.map(|call| call.function.clone()),
        arguments: decoded.map_or_else(Vec::new, |call| call.arguments.iter().map(argument).collect()),
    })
}

fn approval(vote: &Vote) -> Approval {
    Approval {
        role: vote.role.to_string(),
        principal_id: vote.principal.to_string(),
        evidence_level: evidence_level(vote.evidence.level()).to_owned(),
        given_at_ms: vote.created_at.unix_millis(),
    }
}

/// What the client says; nothing of it was checked.
pub(super) fn claimed(request: &EvaluationRequest) -> ClaimedTransaction {
    let transaction = &request.transaction;
    let execution = match transaction.execution_type {
        ExecutionType::DirectUser => "direct-user",
        ExecutionType::UserExecuted => "user-executed",
        ExecutionType::AgentExecuted => "agent-executed",
    };
    let mut extra = vec![("execution-type".to_owned(), execution.to_owned())];
    extra.extend(
        transaction.verification_service.map(|id| ("verification-service".to_owned(), id.to_string())),
    );
    ClaimedTransaction {
        reference: Some(format!("{:#x}", transaction.request_hash)),
        description: transaction.note.as_deref().map(|note| plugin_host::plain(note, NOTE_BYTES_MAX)),
        extra,
    }
}

const fn provider(provider: Provider) -> &'static str {
    match provider {
        Provider::Hsm => "hsm",
        Provider::Fireblocks => "fireblocks",
        Provider::Privy => "privy",
        Provider::None => "none",
    }
}

const fn evidence_level(level: EvidenceLevel) -> &'static str {
    match level {
        EvidenceLevel::Bearer => "bearer",
        EvidenceLevel::Request => "request",
        EvidenceLevel::Signed => "signed",
    }
}

const fn kind(has_recipient: bool, data: &[u8]) -> &'static str {
    match (has_recipient, data.is_empty()) {
        (false, _) => "contract-creation",
        (true, true) => "transfer",
        (true, false) => "contract-call",
    }
}

fn address(address: Address) -> String {
    format!("{address:#x}")
}

fn selector(data: &[u8]) -> Option<String> {
    data.get(..4).map(|selector| format!("0x{}", hex::encode(selector)))
}

/// Why this gateway would never tell a plugin of such a transaction: the field, and how it would be written. A policy that
/// is tried on what never comes passes where it will fail.
pub(crate) fn require_told_so(verified: &VerifiedTransaction) -> Result<(), String> {
    let VerifiedTransaction {
        chain, provider: by, kind: given, sender, recipient, value, data, call, ..
    } = verified;
    let told = kind(recipient.is_some(), data);
    let providers = [Provider::Hsm, Provider::Fireblocks, Provider::Privy, Provider::None].map(provider);
    let levels = [EvidenceLevel::Bearer, EvidenceLevel::Request, EvidenceLevel::Signed].map(evidence_level);
    require("chain", chain, chain.parse::<ChainId>().is_ok(), "`eip155:` and a number")?;
    require("provider", by, providers.contains(&by.as_str()), &one_of(&providers))?;
    require("kind", given, given == told, &format!("`{told}` with this recipient and data"))?;
    for (field, text) in [("sender", Some(sender)), ("recipient", recipient.as_ref())] {
        let Some(text) = text else { continue };
        require(field, text, is_address(text), ADDRESS)?;
    }
    let Ceilings { fee_per_gas, priority_fee_per_gas, total_fee, .. } = &verified.ceilings;
    for (field, text) in [
        ("value", Some(value)),
        ("ceilings.fee_per_gas", fee_per_gas.as_ref()),
        ("ceilings.priority_fee_per_gas", priority_fee_per_gas.as_ref()),
        ("ceilings.total_fee", total_fee.as_ref()),
    ] {
        let Some(text) = text else { continue };
        let is_told = text.parse::<U256>().is_ok_and(|number| number.to_string() == *text);
        require(field, text, is_told, "a whole number of the smallest unit, in decimal")?;
    }
    let (called, told) = (call.as_ref().map(|call| &call.selector), selector(data));
    if called != told.as_ref() {
        let told = told.map_or_else(|| "absent".to_owned(), |told| format!("of the selector `{told}`"));
        return Err(format!("`call` is {told} with this data"));
    }
    for argument in call.iter().flat_map(|call| &call.arguments).filter(|one| one.abi_type == "address") {
        require("call.arguments", &argument.value, is_address(&argument.value), ADDRESS)?;
    }
    for Approval { evidence_level: level, .. } in &verified.approvals {
        require("approvals", level, levels.contains(&level.as_str()), &one_of(&levels))?;
    }
    Ok(())
}

const ADDRESS: &str = "an address: `0x` and 40 hexadecimal digits, the letters small";

fn is_address(text: &str) -> bool {
    text.parse::<Address>().is_ok_and(|parsed| address(parsed) == text)
}

fn one_of(words: &[&str]) -> String {
    format!("one of {}", words.join(", "))
}

fn require(field: &str, found: &str, is_told: bool, told: &str) -> Result<(), String> {
    if is_told {
        Ok(())
    } else {
        Err(format!("`{field}` is `{}`; a gateway tells {told}", plugin_host::plain(found, 100)))
    }
}

#[cfg(test)]
mod tests;
