//! Decoding of well-known contract calls, for approval views and plugins. Only calldata that is
//! byte for byte what an ABI encoder makes is shown as a call: contracts accept trailing bytes and
//! odd offsets, people should not have to.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;

use super::address::to_checksum;

/// A decoded call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The interfaces that define the selector; a selector does not prove which one the target has.
    pub standard: &'static str,
    /// Solidity signature without return values.
    pub signature: &'static str,
    pub arguments: Vec<Argument>,
}

/// One argument as text: addresses in EIP-55, numbers in decimal, bytes in `0x` hexadecimal,
/// arrays in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    pub name: &'static str,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalldataError {
    #[error("arguments of `{signature}` are not in canonical ABI encoding")]
    NotCanonical { signature: &'static str },
}

mod token {
    alloy_sol_types::sol! {
        function transfer(address to, uint256 amount);
        function approve(address spender, uint256 amountOrTokenId);
        function transferFrom(address from, address to, uint256 amountOrTokenId);
        function increaseAllowance(address spender, uint256 addedValue);
        function decreaseAllowance(address spender, uint256 subtractedValue);
        function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s);
        function setApprovalForAll(address operator, bool approved);
        function deposit();
        function withdraw(uint256 amount);
    }
}

mod erc721 {
    alloy_sol_types::sol! {
        function safeTransferFrom(address from, address to, uint256 tokenId);
    }
}

mod erc721_data {
    alloy_sol_types::sol! {
        function safeTransferFrom(address from, address to, uint256 tokenId, bytes data);
    }
}

mod erc1155 {
    alloy_sol_types::sol! {
        function safeTransferFrom(address from, address to, uint256 id, uint256 amount, bytes data);
        function safeBatchTransferFrom(address from, address to, uint256[] ids, uint256[] amounts, bytes data);
    }
}

/// Decodes a call. `None` means that the selector is not known (or absent: a plain transfer).
pub fn decode(data: &[u8]) -> Result<Option<Call>, CalldataError> {
    let Some(selector) = data.first_chunk::<4>() else { return Ok(None) };
    DECODERS
        .iter()
        .find(|decoder| decoder.selector == *selector)
        .map(|decoder| {
            let arguments = (decoder.arguments)(data)
                .ok_or(CalldataError::NotCanonical { signature: decoder.signature })?;
            Ok(Call { standard: decoder.standard, signature: decoder.signature, arguments })
        })
        .transpose()
}

struct Decoder {
    selector: [u8; 4],
    standard: &'static str,
    signature: &'static str,
    arguments: fn(&[u8]) -> Option<Vec<Argument>>,
}

impl Decoder {
    const fn of<C: SolCall>(standard: &'static str, arguments: fn(&[u8]) -> Option<Vec<Argument>>) -> Self {
        Self { selector: C::SELECTOR, standard, signature: C::SIGNATURE, arguments }
    }
}

const DECODERS: &[Decoder] = &[
    Decoder::of::<token::transferCall>("ERC-20", |data| {
        let call = strict::<token::transferCall>(data)?;
        Some(vec![argument("to", call.to), argument("amount", call.amount)])
    }),
    Decoder::of::<token::approveCall>("ERC-20 or ERC-721", |data| {
        let call = strict::<token::approveCall>(data)?;
        Some(vec![argument("spender", call.spender), argument("amountOrTokenId", call.amountOrTokenId)])
    }),
    Decoder::of::<token::transferFromCall>("ERC-20 or ERC-721", |data| {
        let call = strict::<token::transferFromCall>(data)?;
        Some(vec![
            argument("from", call.from),
            argument("to", call.to),
            argument("amountOrTokenId", call.amountOrTokenId),
        ])
    }),
    Decoder::of::<token::increaseAllowanceCall>("ERC-20 extension", |data| {
        let call = strict::<token::increaseAllowanceCall>(data)?;
        Some(vec![argument("spender", call.spender), argument("addedValue", call.addedValue)])
    }),
    Decoder::of::<token::decreaseAllowanceCall>("ERC-20 extension", |data| {
        let call = strict::<token::decreaseAllowanceCall>(data)?;
        Some(vec![argument("spender", call.spender), argument("subtractedValue", call.subtractedValue)])
    }),
    Decoder::of::<token::permitCall>("ERC-2612", |data| {
        let call = strict::<token::permitCall>(data)?;
        Some(vec![
            argument("owner", call.owner),
            argument("spender", call.spender),
            argument("value", call.value),
            argument("deadline", call.deadline),
            argument("v", U256::from(call.v)),
            argument("r", Bytes::from(call.r)),
            argument("s", Bytes::from(call.s)),
        ])
    }),
    Decoder::of::<token::setApprovalForAllCall>("ERC-721 or ERC-1155", |data| {
        let call = strict::<token::setApprovalForAllCall>(data)?;
        Some(vec![argument("operator", call.operator), argument("approved", call.approved)])
    }),
    Decoder::of::<token::depositCall>("WETH", |data| strict::<token::depositCall>(data).map(|_| Vec::new())),
    Decoder::of::<token::withdrawCall>("WETH", |data| {
        let call = strict::<token::withdrawCall>(data)?;
        Some(vec![argument("amount", call.amount)])
    }),
    Decoder::of::<erc721::safeTransferFromCall>("ERC-721", |data| {
        let call = strict::<erc721::safeTransferFromCall>(data)?;
        Some(vec![argument("from", call.from), argument("to", call.to), argument("tokenId", call.tokenId)])
    }),
    Decoder::of::<erc721_data::safeTransferFromCall>("ERC-721", |data| {
        let call = strict::<erc721_data::safeTransferFromCall>(data)?;
        Some(vec![
            argument("from", call.from),
            argument("to", call.to),
            argument("tokenId", call.tokenId),
            argument("data", call.data),
        ])
    }),
    Decoder::of::<erc1155::safeTransferFromCall>("ERC-1155", |data| {
        let call = strict::<erc1155::safeTransferFromCall>(data)?;
        Some(vec![
            argument("from", call.from),
            argument("to", call.to),
            argument("id", call.id),
            argument("amount", call.amount),
            argument("data", call.data),
        ])
    }),
    Decoder::of::<erc1155::safeBatchTransferFromCall>("ERC-1155", |data| {
        let call = strict::<erc1155::safeBatchTransferFromCall>(data)?;
        Some(vec![
            argument("from", call.from),
            argument("to", call.to),
            argument("ids", call.ids),
            argument("amounts", call.amounts),
            argument("data", call.data),
        ])
    }),
];

fn strict<C: SolCall>(data: &[u8]) -> Option<C> {
    let call = C::abi_decode_validate(data).ok()?;
    (call.abi_encode() == data).then_some(call)
}

fn argument(name: &'static str, value: impl ArgumentText) -> Argument {
    Argument { name, value: value.text() }
}

trait ArgumentText {
    fn text(self) -> String;
}

impl ArgumentText for Address {
    fn text(self) -> String {
        to_checksum(&self)
    }
}

impl ArgumentText for U256 {
    fn text(self) -> String {
        self.to_string()
    }
}

impl ArgumentText for bool {
    fn text(self) -> String {
        self.to_string()
    }
}

impl ArgumentText for Bytes {
    fn text(self) -> String {
        format!("0x{}", hex::encode(self))
    }
}

impl ArgumentText for Vec<U256> {
    fn text(self) -> String {
        let items: Vec<String> = self.into_iter().map(ArgumentText::text).collect();
        format!("[{}]", items.join(", "))
    }
}

#[cfg(test)]
mod tests;
