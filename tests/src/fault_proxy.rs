//! A TCP proxy that can cut or stall the connections through it. Bytes that are inside it at that
//! moment may be lost.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Bytes flow.
    Up,
    /// Connections are accepted, but nothing flows.
    Stalled,
    /// Connections are closed, new ones too.
    Cut,
}

pub struct FaultProxy {
    address: SocketAddr,
    link: watch::Sender<Link>,
    acceptor: JoinHandle<()>,
}

impl FaultProxy {
    pub async fn start(upstream: SocketAddr) -> Result<FaultProxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (link, state) = watch::channel(Link::Up);
        let acceptor = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((inbound, _)) = listener.accept().await {
                connections.spawn(relay(inbound, upstream, state.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(FaultProxy { address, link, acceptor })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn relay(mut inbound: TcpStream, upstream: SocketAddr, mut state: watch::Receiver<Link>) {
    let Ok(mut outbound) = TcpStream::connect(upstream).await else { return };
    loop {
        let link = *state.borrow_and_update();
        let changed = match link {
            Link::Cut => return,
            Link::Stalled => state.changed().await,
            // The state first: once it has changed nothing more gets through.
            Link::Up => tokio::select! {
                biased;
                changed = state.changed() => changed,
                _ = copy_bidirectional(&mut inbound, &mut outbound) => return,
            },
        };
        if changed.is_err() {
            return;
        }
    }
}
