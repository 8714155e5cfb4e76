//! `personal_sign` (ERC-191) by a user's wallet, whatever kind of wallet that is.

use gateway_chains::evm::signature::{Signature, personal_message_hash, recover_personal};
use gateway_domain::{
    Address, Error, Result,
    identity::{User, prove_contract_signature},
    ports::Services,
};

use crate::layers::Source;

/// Proves that the user's wallet signed `message`: by its key, or, where it is a contract, by what that contract says at
/// the finalized block that its nodes agree on. No key counts for a contract account, and no contract for anybody else.
pub(crate) async fn prove_personal(
    services: &Services,
    (user, source): (&User, Source),
    message: &[u8],
    signature: &[u8],
) -> Result<()> {
    if user.contract_chain.is_some() {
        let digest = personal_message_hash(message);
        return prove_contract_signature(services, (user, source.bucket()), digest, signature).await;
    }
    if key_signed(user.ethereum_address, message, signature) { Ok(()) } else { Err(Error::Unauthenticated) }
}

/// Whether the address's key signed. Only the one form of a signature with low s is taken.
pub(super) fn key_signed(address: Address, message: &[u8], signature: &[u8]) -> bool {
    let signature = <&[u8; 65]>::try_from(signature).ok().and_then(|bytes| Signature::from_bytes(bytes).ok());
    signature.is_some_and(|signature| recover_personal(message, &signature) == Ok(address))
}
