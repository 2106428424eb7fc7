//! The first bytes: encryption, cancel requests, and what is not PostgreSQL at all.

use dormouse_pgwire::backend::NegotiateProtocolVersion;
use dormouse_pgwire::startup::{self, Startup, StartupError, Step};
use dormouse_pgwire::{ClientError, Encode};
use dormouse_pooler::pool::Farewell;
use rustls::ServerConnection;
use tokio::io::AsyncWriteExt;

use super::io::Client;
use super::patience::Patience;
use super::{End, HANDSHAKE_TIMEOUT, Shared};
use crate::cancel::{Cancelled, DELIVER_WITHIN};
use crate::stream::{ClientStream, Encrypted};
use crate::tls;
use crate::upstream::peers;

/// The protocol version spoken: 3.0.
const SPOKEN_MINOR: u16 = 0;

/// The answer to a browser or `curl` on this port.
const HTTP_ANSWER: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    This is the PostgreSQL port. The HTTP API and the console are on the HTTP port (5480 by default).\n";

/// How often a client may change its mind (TLS, then GSS, …) before its startup message.
const MAX_REQUESTS: usize = 4;

/// Reads up to the startup message, turning encryption on where asked.
pub(super) async fn negotiate(
    shared: &Shared,
    stream: ClientStream,
    patience: &Patience,
) -> Result<(Client, Startup), End> {
    let mut client = Client::new(stream);
    for request in 0..MAX_REQUESTS {
        let Some(step) = patience.begin(next(&mut client)).await else {
            return Err(late(shared, client).await);
        };
        match step? {
            Step::Ssl => client = answer_ssl(shared, client).await?,
            Step::DirectTls if shared.tls().is_none() => return Err(End::Quiet("tls_off")),
            Step::DirectTls if request == 0 && matches!(client.stream, ClientStream::Plain(_)) => {
                client = direct_tls(shared, client).await?;
            }
            Step::DirectTls => return Err(End::Quiet("garbage")),
            // Not supported; the client goes on without, or asks for TLS next.
            Step::Gss => client.send(b"N").await?,
            Step::Cancel { pid, secret } => {
                cancel(shared, pid, secret).await;
                // libpq takes the end of the connection for the receipt; over TLS it must be an orderly one.
                let _gone = client.stream.shutdown().await;
                return Err(End::Quiet("cancel_request"));
            }
            Step::Startup(mut startup) => {
                if let Some(answer) = NegotiateProtocolVersion::needed_for(&startup, SPOKEN_MINOR) {
                    client.send(&answer.encode()).await?;
                    startup.params.remove_protocol_options();
                }
                startup.version_minor = SPOKEN_MINOR;
                return Ok((client, startup));
            }
            Step::NeedMore { .. } => {}
        }
    }
    Err(End::Refuse(ClientError::protocol_violation("too many encryption requests")))
}

/// In PgBouncer's place a client that does not begin is told why it has to go.
async fn late(shared: &Shared, mut client: Client) -> End {
    if shared.upstream.is_some() {
        let words = Farewell::ClientLoginTimeout.as_pgbouncer().encode();
        let _unread = client.stream.write_all(&words).await;
        let _closed = client.stream.shutdown().await;
    }
    End::Quiet(HANDSHAKE_TIMEOUT)
}

/// Passes a cancel request on: to a backend, or to the peer whose client it is from.
async fn cancel(shared: &Shared, pid: u32, secret: Vec<u8>) {
    let Some(upstream) = &shared.upstream else {
        let _known = shared.cancels.cancel(pid, secret, DELIVER_WITHIN).await;
        return;
    };
    let within = shared.pools.settings().cancel_wait_timeout;
    let (pid, may_pass_on) = if upstream.peer_id() == 0 { (pid, false) } else { peers::unmark(pid) };
    let done = shared.cancels.cancel(pid, secret.clone(), within).await;
    if done == Cancelled::Unknown && may_pass_on {
        upstream.pass_on(pid, &secret).await;
    }
}

/// Reads one startup-phase message.
async fn next(client: &mut Client) -> Result<Step, End> {
    loop {
        match startup::parse(&client.unread) {
            Ok((Step::NeedMore { .. }, _)) => client.fill().await?,
            Ok((step, used)) => {
                client.consume(used);
                return Ok(step);
            }
            Err(StartupError::Http) => {
                // A browser that does not wait for the answer is no loss.
                let _unread = client.stream.write_all(HTTP_ANSWER.as_bytes()).await;
                let _closed = client.stream.shutdown().await;
                return Err(End::Quiet("http"));
            }
            Err(StartupError::Left) => return Err(End::Quiet("client_left")),
            Err(error) => {
                // Errors before the startup message have no reader that this step could return.
                let refusal = error.client_error();
                let _unread = client.stream.write_all(&refusal.encode()).await;
                let _closed = client.stream.shutdown().await;
                return Err(End::Quiet("garbage"));
            }
        }
    }
}

async fn answer_ssl(shared: &Shared, mut client: Client) -> Result<Client, End> {
    // Bytes that came before encryption would be taken for encrypted ones (CVE-2021-23222).
    if !client.unread.is_empty() || (client.stream.is_tls() && !client.stream.is_carried()) {
        return Err(End::Quiet("garbage"));
    }
    if shared.tls().is_none() || matches!(client.stream, ClientStream::Unix(_) | ClientStream::Carried(_)) {
        client.send(b"N").await?;
        return Ok(client);
    }
    client.send(b"S").await?;
    handshake(shared, client).await
}

async fn direct_tls(shared: &Shared, client: Client) -> Result<Client, End> {
    let client = handshake(shared, client).await?;
    // Without the protocol's name another protocol's client could be tricked into talking to us.
    if client.stream.alpn() != Some(tls::ALPN) {
        return Err(End::Quiet("no_alpn"));
    }
    Ok(client)
}

/// What was read of a client that began with TLS is the beginning of its handshake; of others nothing was.
async fn handshake(shared: &Shared, client: Client) -> Result<Client, End> {
    let early = client.unread;
    let (Some(tls), ClientStream::Plain(stream)) = (shared.tls(), client.stream) else {
        return Err(End::Quiet("tls_off"));
    };
    let Some(stream) = stream.into_socket() else { return Err(End::Quiet("tls_failed")) };
    // All shards have time for such work.
    shared.pools.spread();
    let current = tls.current();
    let mut sound = true;
    let accepted = current.acceptor.accept_with(stream, |connection| sound = feed(connection, &early));
    let mut accepted = Box::pin(accepted);
    if !sound {
        // It has an alert to send, and waits for nothing.
        let _sent = futures_util::poll!(&mut accepted);
        return Err(End::Quiet("tls_failed"));
    }
    let stream = accepted.await.map_err(|error| {
        tracing::debug!(%error, "TLS handshake failed");
        End::Quiet("tls_failed")
    })?;
    let binding = current.binding.clone();
    Ok(Client::new(ClientStream::Tls(Box::new(Encrypted { stream, binding }))))
}

/// Gives TLS what was read before it; whether that can be the beginning of a handshake.
fn feed(connection: &mut ServerConnection, mut early: &[u8]) -> bool {
    while !early.is_empty() {
        let read = connection.read_tls(&mut early);
        if !matches!(read, Ok(1..)) || connection.process_new_packets().is_err() {
            return false;
        }
    }
    true
}
