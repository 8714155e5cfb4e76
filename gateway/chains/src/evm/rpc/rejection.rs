//! The one table from what nodes say to what the gateway does about it.

use std::fmt;

/// Why a call failed: a closed list, safe to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeRejection {
    NonceTooLow,
    NonceTooHigh,
    InsufficientFunds,
    /// The fee is below the block's base fee or the node's minimum.
    FeeTooLow,
    /// A replacement raises the fee too little.
    Underpriced,
    /// The node has these very bytes: for a broadcast this is success.
    AlreadyKnown,
    WrongChain,
    IntrinsicGasTooLow,
    /// The gas limit exceeds what a block or the node allows.
    GasLimitTooHigh,
    ExecutionReverted,
    /// The code breaks a rule of the machine or uses up its gas: the contract's doing, as a revert is.
    ExecutionHalted,
    MethodUnsupported,
    /// Not reached, too slow, or overloaded; the call may be made again.
    Unavailable,
    /// The answer breaks the protocol.
    Malformed,
    Other,
}

impl fmt::Display for NodeRejection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NonceTooLow => "nonce is already used",
            Self::NonceTooHigh => "nonce leaves a gap",
            Self::InsufficientFunds => "account cannot pay value and fee",
            Self::FeeTooLow => "fee is below the minimum of the chain",
            Self::Underpriced => "replacement raises the fee too little",
            Self::AlreadyKnown => "transaction is already known",
            Self::WrongChain => "transaction is for another chain",
            Self::IntrinsicGasTooLow => "gas limit is below the intrinsic cost",
            Self::GasLimitTooHigh => "gas limit is above what the chain allows",
            Self::ExecutionReverted => "execution reverts",
            Self::ExecutionHalted => "execution ends without a result",
            Self::MethodUnsupported => "node does not support the method",
            Self::Unavailable => "node is not available",
            Self::Malformed => "node answered out of protocol",
            Self::Other => "node refused for another reason",
        })
    }
}

/// Lower-case fragments of node texts; the first that occurs decides. From the sources of geth and
/// anvil (which agree on most), erigon, nethermind, besu and reth.
const TEXTS: &[(&str, NodeRejection)] = &[
    ("already known", NodeRejection::AlreadyKnown),
    ("alreadyknown", NodeRejection::AlreadyKnown),
    ("known transaction", NodeRejection::AlreadyKnown),
    ("already imported", NodeRejection::AlreadyKnown),
    ("already in mempool", NodeRejection::AlreadyKnown),
    ("nonce too low", NodeRejection::NonceTooLow),
    ("nonce is too low", NodeRejection::NonceTooLow),
    ("oldnonce", NodeRejection::NonceTooLow),
    ("nonce too high", NodeRejection::NonceTooHigh),
    ("nonce gap", NodeRejection::NonceTooHigh),
    ("replacement transaction underpriced", NodeRejection::Underpriced),
    ("replacementnotallowed", NodeRejection::Underpriced),
    ("could not replace existing", NodeRejection::Underpriced),
    ("transaction underpriced", NodeRejection::FeeTooLow),
    ("less than block base fee", NodeRejection::FeeTooLow),
    ("fee cap less than block", NodeRejection::FeeTooLow),
    ("max fee per gas too low", NodeRejection::FeeTooLow),
    ("feetoolow", NodeRejection::FeeTooLow),
    ("gas price below configured minimum", NodeRejection::FeeTooLow),
    ("insufficient funds", NodeRejection::InsufficientFunds),
    ("insufficientfunds", NodeRejection::InsufficientFunds),
    ("upfront cost exceeds account balance", NodeRejection::InsufficientFunds),
    ("invalid chain id", NodeRejection::WrongChain),
    ("incompatible eip-155", NodeRejection::WrongChain),
    ("chain id mismatch", NodeRejection::WrongChain),
    ("wrong chain", NodeRejection::WrongChain),
    ("invalid sender", NodeRejection::WrongChain),
    ("intrinsic gas too low", NodeRejection::IntrinsicGasTooLow),
    ("intrinsic gas exceeds gas limit", NodeRejection::IntrinsicGasTooLow),
    ("exceeds block gas limit", NodeRejection::GasLimitTooHigh),
    ("intrinsic gas too high", NodeRejection::GasLimitTooHigh),
    ("transaction gas limit too high", NodeRejection::GasLimitTooHigh),
    ("gas required exceeds allowance", NodeRejection::GasLimitTooHigh),
    ("execution reverted", NodeRejection::ExecutionReverted),
    ("vm execution error", NodeRejection::ExecutionReverted),
    ("out of gas", NodeRejection::ExecutionHalted),
    ("outofgas", NodeRejection::ExecutionHalted),
    ("gas uint64 overflow", NodeRejection::ExecutionHalted),
    ("invalid opcode", NodeRejection::ExecutionHalted),
    ("opcodenotfound", NodeRejection::ExecutionHalted),
    ("invalidfeopcode", NodeRejection::ExecutionHalted),
    ("invalid jump", NodeRejection::ExecutionHalted),
    ("invalidjump", NodeRejection::ExecutionHalted),
    ("bad jump destination", NodeRejection::ExecutionHalted),
    ("stack underflow", NodeRejection::ExecutionHalted),
    ("stackunderflow", NodeRejection::ExecutionHalted),
    ("stack overflow", NodeRejection::ExecutionHalted),
    ("stackoverflow", NodeRejection::ExecutionHalted),
    ("stack limit reached", NodeRejection::ExecutionHalted),
    ("return data out of bounds", NodeRejection::ExecutionHalted),
    ("outofoffset", NodeRejection::ExecutionHalted),
    ("write protection", NodeRejection::ExecutionHalted),
    ("statechangeduringstaticcall", NodeRejection::ExecutionHalted),
    ("illegal state change", NodeRejection::ExecutionHalted),
    ("method not found", NodeRejection::MethodUnsupported),
    ("does not exist/is not available", NodeRejection::MethodUnsupported),
    ("rate limit", NodeRejection::Unavailable),
    ("too many requests", NodeRejection::Unavailable),
    ("timed out", NodeRejection::Unavailable),
    ("txpool is full", NodeRejection::Unavailable),
];

/// Codes that decide when no text does (JSON-RPC 2.0, EIP-1474, geth's 3).
const CODES: &[(i64, NodeRejection)] = &[
    (3, NodeRejection::ExecutionReverted),
    (-32601, NodeRejection::MethodUnsupported),
    (-32004, NodeRejection::MethodUnsupported),
    (-32005, NodeRejection::Unavailable),
    (-32002, NodeRejection::Unavailable),
    (-32603, NodeRejection::Other),
];

impl NodeRejection {
    /// Whether a call failed by what is called, and not by the node: asked anywhere, it would fail.
    pub fn is_by_contract(self) -> bool {
        matches!(
            self,
            Self::ExecutionReverted
                | Self::ExecutionHalted
                | Self::IntrinsicGasTooLow
                | Self::GasLimitTooHigh
        )
    }

    /// Classifies a JSON-RPC error.
    pub fn classify(code: i64, message: &str) -> Self {
        let message = message.to_ascii_lowercase();
        TEXTS
            .iter()
            .find(|(fragment, _)| message.contains(fragment))
            .map(|(_, reason)| *reason)
            .or_else(|| CODES.iter().find(|(known, _)| *known == code).map(|(_, reason)| *reason))
            .unwrap_or(Self::Other)
    }
}

/// Characters of upstream text that are kept.
const TEXT_CHARS_MAX: usize = 300;

/// What a node or the transport said: for logs only, cut short and without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamText(String);

impl UpstreamText {
    pub(super) fn new(text: &str) -> Self {
        Self(text.chars().filter(|character| !character.is_control()).take(TEXT_CHARS_MAX).collect())
    }
}

impl fmt::Display for UpstreamText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for UpstreamText {}

#[cfg(test)]
mod tests;
