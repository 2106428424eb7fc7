//! Other processes behind the same address (`so_reuseport`, `peer_id`, `[peers]`): a cancel request may come to any
//! of them, and is passed on to the one whose client it is from.
//!
//! ```text
//!  process number of a client's key   0 1 pppppp pppppppp nnnnnnnn nnnnnnnn     p: peer_id, n: of the client's number
//!                 the same, passed on 1 1 pppppp pppppppp nnnnnnnn nnnnnnnn     once: nobody passes it on again
//! ```

use std::time::Duration;

use dormouse_pgwire::startup::encode_cancel;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::Upstream;

/// Where the number of the process is in a client's key.
const PEER_SHIFT: u32 = 16;

/// The largest number of a process.
const MAX_PEER: u32 = 0x3fff;

/// What is left of a client's number beside it.
const NUMBER_MASK: u32 = 0xffff;

/// The mark of a request that was passed on.
const PASSED_ON: u32 = 1 << 31;

/// A peer that does not take a request within this time does not get it.
const WITHIN: Duration = Duration::from_secs(5);

/// The process number of a client's key.
pub(crate) fn mark(first: u32, number: u32, peer: u32) -> u32 {
    match peer {
        0 => first | number,
        peer => first | (peer & MAX_PEER) << PEER_SHIFT | number & NUMBER_MASK,
    }
}

/// The key that a request means here, and whether it may be passed on.
pub(crate) fn unmark(pid: u32) -> (u32, bool) {
    (pid & !PASSED_ON, pid & PASSED_ON == 0)
}

impl Upstream {
    /// The number of this process; 0: it has none.
    pub(crate) fn peer_id(&self) -> u32 {
        self.state().peer_id
    }

    /// Passes a cancel request on to whose it is.
    pub(crate) async fn pass_on(&self, pid: u32, secret: &[u8]) {
        let state = self.state();
        let id = pid >> PEER_SHIFT & MAX_PEER;
        let own = state.peer_id;
        let peer = state.plan.ini.peers.iter().find(|peer| u32::from(peer.id) == id);
        let Some(peer) = peer.filter(|_| own != 0 && id != own) else { return };
        let message = encode_cancel(pid | PASSED_ON, secret);
        let (host, port) = (&peer.host, peer.port);
        let passing = async {
            if host.starts_with('/') {
                let path = format!("{host}/.s.PGSQL.{port}");
                deliver(UnixStream::connect(path).await?, &message).await
            } else {
                deliver(TcpStream::connect((host.as_str(), port)).await?, &message).await
            }
        };
        match tokio::time::timeout(WITHIN, passing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(peer = id, %error, "a cancel request could not be passed on"),
            Err(_) => tracing::warn!(peer = id, "a cancel request could not be passed on in time"),
        }
    }
}

async fn deliver(mut to: impl AsyncRead + AsyncWrite + Unpin, message: &[u8]) -> std::io::Result<()> {
    to.write_all(message).await?;
    to.flush().await?;
    // The end of the connection is the receipt.
    let _end = to.read(&mut [0]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_whose_it_is() {
        let first = 1 << 30;
        assert_eq!(mark(first, 7, 0), first | 7);
        let pid = mark(first, 0x1_0007, 16_383);
        assert_eq!((pid >> PEER_SHIFT & MAX_PEER, pid & NUMBER_MASK, pid & first), (16_383, 7, first));
        assert_eq!(unmark(pid), (pid, true));
        assert_eq!(unmark(pid | PASSED_ON), (pid, false));
    }
}
