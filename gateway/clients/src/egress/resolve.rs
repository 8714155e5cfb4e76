//! Resolving a name and judging what comes back, in the step that hands the addresses to the connector.

use std::{error::Error as StdError, io, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::networks::is_public;

pub(super) const PRIVATE: &str = "it is not a public address";

/// A source of addresses for names.
#[async_trait]
pub trait Lookup: Send + Sync {
    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>>;
}

/// The operating system's resolver.
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        // The connector puts the URL's port in place of zero.
        Ok(tokio::net::lookup_host((name, 0)).await?.collect())
    }
}

pub(super) struct Guarded {
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) public_only: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the name leads to no public address")]
struct NotPublic;

impl Resolve for Guarded {
    /// One private address among public ones spoils the name: whoever controls it chooses which is tried.
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, public_only) = (Arc::clone(&self.lookup), self.public_only);
        Box::pin(async move {
            let found = lookup.lookup(name.as_str()).await?;
            if public_only && !found.iter().all(|address| is_public(address.ip())) {
                return Err(NotPublic.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

pub(super) fn is_refusal(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(cause) = next {
        if cause.is::<NotPublic>() {
            return true;
        }
        next = cause.source();
    }
    false
}
