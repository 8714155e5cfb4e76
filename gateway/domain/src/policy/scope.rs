//! What bindings are about must be there.

use std::collections::BTreeSet;

use super::{Binding, BindingScope};
use crate::{
    actor::OpCtx,
    error::{Error, Result},
    ports::Services,
};

/// Refuses scopes of vaults and keys that the organization does not have, and of chains that the gateway does not serve: a
/// binding to what is not there would never be asked. A chain of `earlier` bindings may have left the configuration since;
/// that keeps nobody from changing the rest of the policy.
pub async fn require_scopes(
    ctx: &OpCtx,
    services: &Services,
    scopes: &[&BindingScope],
    earlier: &[&Binding],
) -> Result<()> {
    let vaults: BTreeSet<_> = scopes.iter().flat_map(|scope| scope.vaults.iter().copied()).collect();
    for id in vaults {
        if services.store.vault(ctx.organization, id).await?.is_none() {
            let rule = format!("bindings.scope.vaults: vault `{id}` does not exist in the organization");
            return Err(Error::invalid(rule));
        }
    }
    let keys: BTreeSet<_> = scopes.iter().flat_map(|scope| scope.keys.iter().copied()).collect();
    for id in keys {
        if services.store.key(ctx.organization, id).await?.is_none() {
            let rule = format!("bindings.scope.keys: key `{id}` does not exist in the organization");
            return Err(Error::invalid(rule));
        }
    }
    let known: BTreeSet<_> = earlier.iter().flat_map(|binding| &binding.scope.chains).collect();
    let mut named = scopes.iter().flat_map(|scope| &scope.chains);
    if let Some(chain) = named.find(|chain| !services.chains.contains_key(chain) && !known.contains(chain)) {
        let rule = format!("bindings.scope.chains: chain `{chain}` is not served here");
        return Err(Error::invalid(rule));
    }
    Ok(())
}
