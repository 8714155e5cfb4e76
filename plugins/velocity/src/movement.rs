//! What a transaction moves, in the coin or token that a limit is about.

use countersign_plugin::{Argument, Verified};

/// An amount on its way to somebody.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Movement {
    /// Decimal text in the smallest unit.
    pub(crate) amount: String,
    /// In lower case; empty where the transaction creates a contract.
    pub(crate) recipient: String,
}

impl Movement {
    /// The movement that counts under a limit on `token`, or on the chain's own coin without one; none where the
    /// transaction is not the limit's business. A call to the token that cannot be read as a transfer has no known
    /// amount, which is an error.
    pub(crate) fn of(verified: &Verified, token: Option<&str>) -> Result<Option<Self>, String> {
        let Some(token) = token else {
            let recipient = verified.recipient.clone().unwrap_or_default();
            return Ok(Some(Self { amount: verified.value.clone(), recipient }));
        };
        if verified.recipient.as_deref() != Some(token) {
            return Ok(None);
        }
        let call = verified.call.as_ref();
        let function = call.and_then(|call| call.function.as_deref()).unwrap_or("a call that is not known");
        let arguments = call.map_or(&[][..], |call| &call.arguments);
        let (recipient, amount) = match function {
            "transfer(address,uint256)" => (arguments.first(), arguments.get(1)),
            "transferFrom(address,address,uint256)" => (arguments.get(1), arguments.get(2)),
            _ => return Err(function.to_owned()),
        };
        let value = |argument: Option<&Argument>| {
            argument
                .map(|argument| argument.value.clone())
                .ok_or_else(|| format!("{function} without arguments"))
        };
        Ok(Some(Self { amount: value(amount)?, recipient: value(recipient)?.to_ascii_lowercase() }))
    }
}

#[cfg(test)]
mod tests;
