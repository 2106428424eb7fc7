//! The addresses of a host's name. It may have several, and others tomorrow.
//!
//! ```text
//!   look up ─► [a, b, c] ─┬─► whose turn it is, then the others: first [b, c, a], next time [c, a, b] …
//!                         └─► one that was there before and is not now: what leads there serves who has it, and
//!                             nobody else (a reload does the same to an entry that leads elsewhere)
//! ```
//!
//! Names are looked up for each new connection, so that is when a change is noticed.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_runtime::gate::Closing;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// The addresses of one name, as they were found last.
#[derive(Default)]
pub(super) struct Sites {
    turn: AtomicUsize,
    /// Those that connections lead to, and what those connections are told.
    known: Mutex<HashMap<IpAddr, watch::Sender<Option<Closing>>>>,
}

impl Sites {
    /// The name has these addresses now. Gives them in the order in which to try them; each time another is first.
    pub(super) fn found(&self, addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        self.known.lock().retain(|ip, told| {
            let stays = addresses.iter().any(|address| address.ip() == *ip);
            if !stays {
                tracing::info!(address = %ip, "a server's name does not lead to this address any more");
                told.send_replace(Some(Closing::Replaced));
            }
            stays
        });
        in_turn(addresses, self.turn.fetch_add(1, Ordering::Relaxed))
    }

    /// What the connections to an address are told. `now` is what all are told, whatever the address.
    pub(super) fn closing(
        &self,
        ip: IpAddr,
        now: impl FnOnce() -> Option<Closing>,
    ) -> watch::Receiver<Option<Closing>> {
        self.known.lock().entry(ip).or_insert_with(|| watch::Sender::new(now())).subscribe()
    }

    /// Another target is in the place of theirs.
    pub(super) fn replaced(&self) {
        for told in self.known.lock().values() {
            told.send_replace(Some(Closing::Replaced));
        }
    }
}

/// Sorted, since resolvers change the order as they like; then from the one whose turn it is.
fn in_turn(mut addresses: Vec<SocketAddr>, turn: usize) -> Vec<SocketAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    let first = turn.checked_rem(addresses.len()).unwrap_or(0);
    addresses.rotate_left(first);
    addresses
}

/// Connects to the first of these that answers. Each but the last has its share of the time that is left, so that one
/// that is silent does not use up all of it; zero: no limit.
pub(super) async fn connect(addresses: &[SocketAddr], within: Duration) -> io::Result<TcpStream> {
    let start = Mono::now();
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (address, others) in addresses.iter().zip((0..addresses.len()).rev()) {
        let connecting = TcpStream::connect(address);
        let connected = if within.is_zero() || others == 0 {
            connecting.await
        } else {
            let shares = u32::try_from(others + 1).unwrap_or(u32::MAX);
            let share = within.saturating_sub(start.elapsed()) / shares;
            tokio::time::timeout(share, connecting)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                tracing::debug!(%address, %error, "cannot connect");
                failed = error;
            }
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};
    use tokio::net::TcpListener;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_its_turn() {
        let [a, b, c] = ["10.0.0.1:5", "10.0.0.2:5", "[::1]:5"].map(address);
        let sites = Sites::default();
        assert_eq!(sites.found(vec![c, a, b, a]), [a, b, c]);
        assert_eq!(sites.found(vec![b, c, a]), [b, c, a]);
        assert_eq!(sites.found(vec![a, c, b]), [c, a, b]);
        assert_eq!(sites.found(vec![a, c, b]), [a, b, c]);
        assert!(sites.found(Vec::new()).is_empty());
    }

    #[test]
    fn what_leads_to_an_address_that_has_gone_is_told_and_nothing_else() {
        let [a, b] = ["10.0.0.1:5", "10.0.0.2:5"].map(address);
        let sites = Sites::default();
        sites.found(vec![a, b]);
        let [to_a, to_b] = [a, b].map(|it| sites.closing(it.ip(), || None));
        assert!(sites.closing(a.ip(), || None).same_channel(&to_a));
        sites.found(vec![b]);
        assert_eq!((*to_a.borrow(), *to_b.borrow()), (Some(Closing::Replaced), None));
        // It is back: that is another life.
        sites.found(vec![a, b]);
        let again = sites.closing(a.ip(), || None);
        assert_eq!(*again.borrow(), None);
        sites.replaced();
        assert_eq!((*again.borrow(), *to_b.borrow()), (Some(Closing::Replaced), Some(Closing::Replaced)));
        let late = sites.closing(address("10.0.0.3:5").ip(), || Some(Closing::Replaced));
        assert_eq!(*late.borrow(), Some(Closing::Replaced));
    }

    #[tokio::test]
    async fn one_that_refuses_and_one_that_is_silent_are_passed_over() {
        let good = TcpListener::bind("127.0.0.4:0").await.unwrap();
        let to = good.local_addr().unwrap();
        let refuses = SocketAddr::new(address("127.0.0.2:1").ip(), to.port());
        // Its queue is full, so the system answers nobody.
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        silent.bind(&SocketAddr::new(address("127.0.0.3:1").ip(), 0).into()).unwrap();
        silent.listen(0).unwrap();
        let quiet = silent.local_addr().unwrap().as_socket().unwrap();
        let _first = std::net::TcpStream::connect(quiet).unwrap();
        let limit = Duration::from_secs(3);
        let stream = connect(&[refuses, quiet, to], limit).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), to);
        assert!(connect(&[refuses], limit).await.is_err());
    }
}
