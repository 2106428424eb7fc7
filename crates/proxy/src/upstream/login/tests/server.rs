//! A server that is made up: it answers `auth_query`, and says what it was shown and asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dormouse_runtime::task::Scope;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A role whose password nobody is ever told.
pub(super) const NEVER_TOLD: &str = "never";

/// One message, with its tag.
pub(super) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// The next message; none at the end.
pub(super) async fn hear(from: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let tag = from.read_u8().await.ok()?;
    Some((tag, body(from).await?))
}

async fn body(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let length = from.read_u32().await.ok()?;
    let mut body = vec![0; usize::try_from(length).ok()?.checked_sub(4)?];
    from.read_exact(&mut body).await.ok()?;
    Some(body)
}

/// What it is made of.
#[derive(Default)]
pub(super) struct Server {
    /// What every role's password is, as the answer to `auth_query`.
    password: &'static str,
    /// Whether it asks for a password in the clear.
    asks: bool,
    /// What it was shown.
    pub(super) shown: Mutex<Vec<String>>,
    /// Connections that are open, without those that were told to end.
    pub(super) open: AtomicUsize,
    /// Questions for a role that came.
    pub(super) asked: AtomicUsize,
    ends: Notify,
}

impl Server {
    /// Starts one. Gives its port, too.
    pub(super) async fn start(password: &'static str, asks: bool, scope: &Scope) -> (Arc<Self>, u16) {
        let server = Arc::new(Self { password, asks, ..Self::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (here, connections) = (Arc::clone(&server), scope.child());
        scope.spawn("test server", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = Arc::clone(&here);
                connections.spawn("test connection", async move {
                    server.open.fetch_add(1, Ordering::Relaxed);
                    tokio::select! {
                        _ = server.serve(stream) => {}
                        () = server.ends.notified() => {}
                    }
                    server.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        (server, port)
    }

    /// Ends all connections.
    pub(super) fn end_all(&self) {
        self.ends.notify_waiters();
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        body(&mut stream).await?;
        if self.asks {
            stream.write_all(&message(b'R', &[0, 0, 0, 3])).await.ok()?;
            let (_, shown) = hear(&mut stream).await?;
            self.shown.lock().push(String::from_utf8_lossy(&shown).trim_end_matches('\0').to_owned());
        }
        let hello = [
            message(b'R', &[0; 4]),
            message(b'S', b"server_version\x0018.0\0"),
            message(b'S', b"client_encoding\0UTF8\0"),
            message(b'K', &[0, 0, 0, 1, 0, 0, 0, 1]),
            message(b'Z', b"I"),
        ];
        stream.write_all(&hello.concat()).await.ok()?;
        let mut role = Vec::new();
        loop {
            let (tag, body) = hear(&mut stream).await?;
            let answer = match tag {
                b'Q' => [message(b'C', b"SELECT 0\0"), message(b'Z', b"I")].concat(),
                b'P' => message(b'1', &[]),
                b'B' => {
                    // Two names; no formats, one parameter, no formats.
                    let behind_names = body.splitn(3, |byte| *byte == 0).nth(2)?;
                    role = behind_names[8..behind_names.len() - 2].to_vec();
                    self.asked.fetch_add(1, Ordering::Relaxed);
                    message(b'2', &[])
                }
                b'E' if role == NEVER_TOLD.as_bytes() => loop {
                    hear(&mut stream).await?;
                },
                b'E' => [message(b'D', &row(&role, self.password)), message(b'C', b"SELECT 1\0")].concat(),
                b'S' => message(b'Z', b"I"),
                _ => return None,
            };
            stream.write_all(&answer).await.ok()?;
        }
    }
}

fn row(role: &[u8], password: &str) -> Vec<u8> {
    let mut row = vec![0, 2];
    for column in [role, password.as_bytes()] {
        row.extend(u32::try_from(column.len()).unwrap().to_be_bytes());
        row.extend(column);
    }
    row
}
