//! What stands in front of several control planes: edges know one address.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards TCP to the targets in turn. Connections to one that is taken out are cut.
pub struct Balancer {
    pub address: SocketAddr,
    targets: watch::Sender<Vec<SocketAddr>>,
}

impl Balancer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let targets = watch::Sender::new(Vec::new());
        tokio::spawn(accept(listener, targets.subscribe()));
        Self { address, targets }
    }

    pub fn add(&self, target: SocketAddr) {
        self.targets.send_modify(|targets| targets.push(target));
    }

    pub fn remove(&self, target: SocketAddr) {
        self.targets.send_modify(|targets| targets.retain(|other| *other != target));
    }
}

async fn accept(listener: TcpListener, targets: watch::Receiver<Vec<SocketAddr>>) {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(carry(client, targets.clone(), TURN.fetch_add(1, Ordering::Relaxed)));
    }
}

async fn carry(mut client: TcpStream, mut targets: watch::Receiver<Vec<SocketAddr>>, turn: usize) {
    let mut all = targets.borrow().clone();
    if all.is_empty() {
        return;
    }
    let first = turn % all.len();
    all.rotate_left(first);
    for target in all {
        let Ok(mut server) = TcpStream::connect(target).await else { continue };
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => {}
            _ = targets.wait_for(|targets| !targets.contains(&target)) => {}
        }
        return;
    }
}
