//! A connection to something else, which can be cut and mended: how a dependency goes down for one server alone.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Passes connections on to one address while it is whole.
pub struct Relay {
    address: SocketAddr,
    whole: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Relay {
    /// A way to `target`.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (whole, watched) = watch::channel(true);
        Self { address, whole, serving: tokio::spawn(serve(listener, target, watched)) }
    }

    /// Where to connect to instead.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection, and lets none live, until it is mended.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Passes connections on again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// While it is cut, connections are accepted and dropped: the port stays its own.
async fn serve(listener: TcpListener, target: SocketAddr, whole: watch::Receiver<bool>) {
    while let Ok((stream, _)) = listener.accept().await {
        if *whole.borrow() {
            tokio::spawn(carry(stream, target, whole.clone()));
        }
    }
}

async fn carry(mut near: TcpStream, target: SocketAddr, mut whole: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}
