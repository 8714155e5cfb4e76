use super::*;

/// What nodes answer; the first eight as anvil 1.7.1 words them.
const SAID: &[(i64, &str, NodeRejection)] = &[
    (-32003, "nonce too low", NodeRejection::NonceTooLow),
    (-32003, "invalid chain id for signer", NodeRejection::WrongChain),
    (-32003, "Insufficient funds for gas * price + value", NodeRejection::InsufficientFunds),
    (-32003, "max fee per gas less than block base fee", NodeRejection::FeeTooLow),
    (-32000, "intrinsic gas too low", NodeRejection::IntrinsicGasTooLow),
    (-32003, "transaction already imported", NodeRejection::AlreadyKnown),
    (-32003, "replacement transaction underpriced", NodeRejection::Underpriced),
    (-32000, "intrinsic gas too high -- tx.gas_limit > env.block.gas_limit", NodeRejection::GasLimitTooHigh),
    (3, "execution reverted: ERC20: transfer amount exceeds balance", NodeRejection::ExecutionReverted),
    (-32603, "EVM error InvalidFEOpcode", NodeRejection::ExecutionHalted),
    (-32603, "EVM error OutOfGas", NodeRejection::ExecutionHalted),
    (-32000, "out of gas", NodeRejection::ExecutionHalted),
    (-32000, "invalid opcode: INVALID", NodeRejection::ExecutionHalted),
    (-32000, "invalid opcode: opcode 0x0c not defined", NodeRejection::ExecutionHalted),
    (-32000, "invalid jump destination", NodeRejection::ExecutionHalted),
    (-32000, "stack underflow (0 <=> 2)", NodeRejection::ExecutionHalted),
    (-32000, "stack limit reached 1024 (1023)", NodeRejection::ExecutionHalted),
    (-32015, "VM execution error.", NodeRejection::ExecutionReverted),
    // Of a node that gives up itself, or lacks the block's state, the contract has said nothing.
    (-32000, "execution aborted (timeout = 5s)", NodeRejection::Other),
    (-32000, "missing trie node 1f (path 0a)", NodeRejection::Other),
    (-32000, "nonce too low: next nonce 5, tx nonce 3", NodeRejection::NonceTooLow),
    (-32000, "nonce too high", NodeRejection::NonceTooHigh),
    (-32000, "already known", NodeRejection::AlreadyKnown),
    (-32000, "known transaction: 985e8430", NodeRejection::AlreadyKnown),
    (-32000, "transaction underpriced: tip needed 1, tip permitted 0", NodeRejection::FeeTooLow),
    (
        -32000,
        "insufficient funds for gas * price + value: balance 0, tx cost 1, overshot 1",
        NodeRejection::InsufficientFunds,
    ),
    (
        -32000,
        "max fee per gas less than block base fee: address 0x35, maxFeePerGas: 1, baseFee: 7",
        NodeRejection::FeeTooLow,
    ),
    (-32000, "invalid chain id for signer: have 1 want 2", NodeRejection::WrongChain),
    (-32000, "invalid sender", NodeRejection::WrongChain),
    (-32000, "intrinsic gas too low: gas 20000, minimum needed 21000", NodeRejection::IntrinsicGasTooLow),
    (-32000, "exceeds block gas limit", NodeRejection::GasLimitTooHigh),
    (-32000, "gas required exceeds allowance (0)", NodeRejection::GasLimitTooHigh),
    (-32000, "txpool is full", NodeRejection::Unavailable),
    (-32010, "AlreadyKnown", NodeRejection::AlreadyKnown),
    (-32010, "OldNonce, Current nonce: 3", NodeRejection::NonceTooLow),
    (-32010, "ReplacementNotAllowed", NodeRejection::Underpriced),
    (-32004, "Upfront cost exceeds account balance", NodeRejection::InsufficientFunds),
    (
        -32601,
        "the method eth_maxPriorityFeePerGas does not exist/is not available",
        NodeRejection::MethodUnsupported,
    ),
    (-32601, "", NodeRejection::MethodUnsupported),
    (3, "", NodeRejection::ExecutionReverted),
    (-32005, "", NodeRejection::Unavailable),
    (429, "Too Many Requests", NodeRejection::Unavailable),
    (-32603, "Internal error", NodeRejection::Other),
    (-32000, "tx fee (2.00 ether) exceeds the configured cap (1.00 ether)", NodeRejection::Other),
    (0, "", NodeRejection::Other),
];

#[test]
fn node_texts_map_to_the_closed_list() {
    for (code, message, reason) in SAID {
        assert_eq!(NodeRejection::classify(*code, message), *reason, "{code} {message}");
    }
}

#[test]
fn fragments_are_lower_case_and_reachable() {
    for (index, (fragment, reason)) in TEXTS.iter().enumerate() {
        assert_eq!(*fragment, fragment.to_ascii_lowercase());
        assert_eq!(NodeRejection::classify(0, fragment), *reason, "{fragment}");
        let shadowed = TEXTS[..index].iter().any(|(earlier, _)| fragment.contains(earlier));
        assert!(!shadowed, "`{fragment}` never decides");
    }
}

#[test]
fn upstream_text_is_cut_and_stripped() {
    let text = UpstreamText::new(&format!("a\n\u{1b}[31mb{}", "x".repeat(1_000))).to_string();
    assert!(text.starts_with("a[31mbx"));
    assert_eq!(text.chars().count(), TEXT_CHARS_MAX);
}
