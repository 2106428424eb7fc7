//! The man in the middle: a Unix socket that looks like PostgreSQL's and passes everything on, in its own way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use dormouse_runtime::task::Scope;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::seed::Seed;

/// So many bytes of a connection are left alone: its login.
const LOGIN: usize = 2000;

/// Read at once.
const CHUNK: usize = 32 << 10;

/// What the middle does to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Weather {
    /// Everything arrives, in odd pieces.
    Calm,
    /// Connections are cut.
    Cuts,
    /// Bytes are changed, added and repeated.
    Lies,
}

/// It.
pub(super) struct Middle {
    dir: tempfile::TempDir,
    weather: Arc<AtomicU8>,
}

impl Middle {
    /// Starts it in front of a socket.
    pub(super) fn start(to: &Path, seed: &Seed, scope: &Scope) -> Self {
        let dir = crate::passable_dir();
        let weather = Arc::new(AtomicU8::new(Weather::Calm as u8));
        let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
        let (to, seed, seen) = (to.to_owned(), seed.clone(), Arc::clone(&weather));
        let inner = scope.clone();
        scope.spawn("middle", async move {
            let mut number = 0_u64;
            while let Ok((client, _)) = listener.accept().await {
                number += 1;
                let (to, seed, seen) = (to.clone(), seed.of(&format!("middle {number}")), Arc::clone(&seen));
                inner.spawn("middle-connection", async move {
                    // However it ends, both ends are closed.
                    let Ok(server) = UnixStream::connect(&to).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    let up = Pump { seed: seed.of("up"), weather: Arc::clone(&seen), down: false };
                    let down = Pump { seed: seed.of("down"), weather: seen, down: true };
                    tokio::select! {
                        () = up.run(from_client, to_server) => {}
                        () = down.run(from_server, to_client) => {}
                    }
                });
            }
        });
        Self { dir, weather }
    }

    /// Its socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// From now on.
    pub(super) fn set(&self, weather: Weather) {
        self.weather.store(weather as u8, Ordering::Relaxed);
    }
}

/// One direction.
struct Pump {
    seed: Seed,
    weather: Arc<AtomicU8>,
    down: bool,
}

impl Pump {
    /// Up to the end of the connection.
    async fn run(mut self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let (mut chunk, mut passed) = (vec![0; CHUNK], 0_usize);
        loop {
            let count = match from.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(count) => count,
            };
            let mut bytes = chunk[..count].to_vec();
            let after_login = passed > LOGIN;
            passed += count;
            let weather = self.weather.load(Ordering::Relaxed);
            if after_login && weather == Weather::Cuts as u8 && self.seed.below(150) == 0 {
                bytes.truncate(usize::try_from(self.seed.below(count as u64 + 1)).unwrap());
                let _cut_anyway = to.write_all(&bytes).await;
                return;
            }
            if after_login && self.down && weather == Weather::Lies as u8 && self.seed.below(100) == 0 {
                self.lie(&mut bytes);
            }
            if self.pieces(&bytes, &mut to).await.is_err() {
                return;
            }
        }
    }

    async fn pieces(&mut self, bytes: &[u8], to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        let mut rest = bytes;
        let most = self.seed.weighted(&[(5, usize::MAX), (2, 1), (2, 7), (2, 300)]);
        // Byte by byte is for a while only.
        let mut writes = 0;
        while !rest.is_empty() {
            writes += 1;
            let most = if writes > 40 { usize::MAX } else { most };
            let (now, later) = rest.split_at(rest.len().min(most));
            to.write_all(now).await?;
            rest = later;
            if !rest.is_empty() {
                match self.seed.below(12) {
                    0 => tokio::time::sleep(Duration::from_millis(1)).await,
                    _ => tokio::task::yield_now().await,
                }
            }
        }
        Ok(())
    }

    fn lie(&mut self, bytes: &mut Vec<u8>) {
        let place = usize::try_from(self.seed.below(bytes.len() as u64)).unwrap();
        match self.seed.below(6) {
            0 => bytes[place] ^= 1 << self.seed.below(8),
            1 => drop(bytes.drain(..place)),
            2 => {
                let again = bytes.clone();
                bytes.extend_from_slice(&again);
            }
            3 => {
                let tag = *self.seed.one_of(b"ZCTDEnst123GHWIRKSNAVv\0\xff");
                let len = u32::try_from(self.seed.below(40)).unwrap();
                bytes.push(tag);
                bytes.extend_from_slice(&len.to_be_bytes());
            }
            4 => bytes.extend_from_slice(b"Z\0\0\0\x05I"),
            _ => bytes.truncate(place),
        }
    }
}
