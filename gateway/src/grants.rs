//! What a plugin revision is granted: `NAME` for a capability, `http:UPSTREAM` for one upstream, `chain:METHOD` for one
//! method. The grants are part of what is signed for; nothing is granted that they do not name.

use std::collections::BTreeSet;

use gateway_domain::ids::OrganizationId;
use plugin_host::{Capability, ChainMethod, Grants};

use crate::adapters::outside::Upstreams;

/// The grants of one revision, read.
pub(crate) struct Granted<'a>(&'a BTreeSet<String>);

impl<'a> Granted<'a> {
    /// Names that this gateway does not know grant nothing.
    pub(crate) fn of(grants: &'a BTreeSet<String>) -> Self {
        Self(grants)
    }

    pub(crate) fn capabilities(&self) -> Grants {
        let capability = |grant: &String| match grant.split_once(':') {
            Some((name @ ("http" | "chain"), _)) => Capability::from_interface(name),
            Some(_) => None,
            None => Capability::from_interface(grant),
        };
        self.0.iter().filter_map(capability).collect()
    }

    pub(crate) fn upstream(&self, name: &str) -> bool {
        self.0.contains(&format!("http:{name}"))
    }

    pub(crate) fn method(&self, method: ChainMethod) -> bool {
        self.0.contains(&format!("chain:{}", method.as_str()))
    }
}

/// Grants that would grant nothing, each with what could be granted.
pub(crate) fn faults(
    grants: &BTreeSet<String>,
    upstreams: &Upstreams,
    organization: OrganizationId,
) -> impl Iterator<Item = String> {
    grants.iter().filter_map(move |grant| fault(grant, upstreams, organization))
}

fn fault(grant: &str, upstreams: &Upstreams, organization: OrganizationId) -> Option<String> {
    match grant.split_once(':') {
        Some(("http", name)) => (!upstreams.serves(name, organization))
            .then(|| format!("`{grant}`: `plugin_upstreams` has no `{name}` for this organization")),
        Some(("chain", name)) => ChainMethod::from_name(name).is_none().then(|| {
            let known = listed(ChainMethod::ALL.iter().map(|method| method.as_str()));
            format!("`{grant}`: `{name}` is not a method that plugins may call; there are {known}")
        }),
        None if grant == "http" => {
            Some("`http` is granted by upstream: `http:NAME`, with a name of `plugin_upstreams`".to_owned())
        }
        None if Capability::from_interface(grant).is_some() => None,
        Some(_) | None => {
            let known = listed(Capability::ALL.iter().map(|capability| capability.as_str()));
            Some(format!("`{grant}` is not a capability; there are {known}"))
        }
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
