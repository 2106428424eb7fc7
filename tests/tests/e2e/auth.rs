//! Everything that lets a client in, or keeps it out, besides passwords: login tokens, client certificates,
//! lists of allowed addresses, and limits per source.

use std::net::Ipv4Addr;

use dormouse_runtime::task::Scope;
use dormouse_tests::Server;
use tokio::net::TcpSocket;
use tokio_postgres::{Client, NoTls};

mod addresses;
mod certificates;
mod rates;
mod tokens;

/// A login to the default project, without TLS, from an address of this machine; the SQLSTATE, text and
/// hint of a refusal. (All of 127.0.0.0/8 is this machine.)
async fn login_from(server: &Server, from: Ipv4Addr) -> Result<Client, (String, String, String)> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let stream = socket.connect((Ipv4Addr::LOCALHOST, server.pg_port()).into()).await.unwrap();
    let mut config: tokio_postgres::Config = server.dsn().parse().unwrap();
    config.password(server.password());
    match config.connect_raw(stream, NoTls).await {
        Ok((client, connection)) => {
            Scope::new().spawn("test-client", async move {
                let _ended = connection.await;
            });
            Ok(client)
        }
        Err(error) => Err(match error.as_db_error() {
            Some(error) => (
                error.code().code().to_owned(),
                error.message().to_owned(),
                error.hint().unwrap_or_default().to_owned(),
            ),
            None => (String::new(), error.to_string(), String::new()),
        }),
    }
}
