//! What the vendors' counterparts share: a server that keeps what it was sent, and what was wrong with it.

use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::http::HeaderMap;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running counterpart; ends with this value.
pub struct Counterpart {
    url: String,
    server: JoinHandle<()>,
}

impl Counterpart {
    pub async fn start(router: Router) -> Result<Counterpart> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(async move {
            // It serves until the drop below aborts it.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Counterpart { url, server })
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Counterpart {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A header that must be there once, as text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, String> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (Some(Ok(text)), None) => Ok(text),
        _ => Err(format!("header `{name}` is not there once")),
    }
}
