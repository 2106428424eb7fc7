//! Cancel requests that PostgreSQL is slow to carry out. It signals a backend twice for one request; between the two
//! its process may wait for a processor, and the statement has been answered by then.

use std::time::Duration;

use dormouse_runtime::task::Scope;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::pool_ini::{Pooler, WITHIN, server};

/// The code of a cancel request, where others have the version of the protocol.
const CANCEL_REQUEST: u32 = 1234 << 16 | 5678;

/// How long PostgreSQL's second signal takes.
const SLOW: Duration = Duration::from_millis(300);

/// Passes connections on to a server on this port of the loopback; a cancel request twice, the second one later, and
/// its end after that.
async fn relay(to: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    Scope::new().spawn("relay", async move {
        let scope = Scope::new();
        while let Ok((client, _)) = listener.accept().await {
            scope.spawn("relay-connection", pass(client, to));
        }
    });
    port
}

async fn pass(mut client: TcpStream, to: u16) {
    let mut first = [0; 8];
    if client.read_exact(&mut first).await.is_err() {
        return;
    }
    let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
    if first[4..] != CANCEL_REQUEST.to_be_bytes() {
        server.write_all(&first).await.unwrap();
        let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        return;
    }
    let mut key = [0; 8];
    client.read_exact(&mut key).await.unwrap();
    let request = [first, key].concat();
    for mut server in [server, TcpStream::connect(("127.0.0.1", to)).await.unwrap()] {
        server.write_all(&request).await.unwrap();
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        tokio::time::sleep(SLOW).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_signal_of_a_request_meets_no_later_statement() {
    let Some(foreign) = server(15) else { return };
    let port = relay(foreign.port()).await;
    let mut pooler = Pooler::new();
    pooler.write(
        &format!(
            "db = host=127.0.0.1 port={port} dbname=postgres pool_size=1\n\
             own = host=127.0.0.1 port={port} dbname=postgres pool_size=1 pool_mode=session"
        ),
        "auth_type = scram-sha-256\npool_mode = transaction\nserver_tls_sslmode = disable",
        "\"s\" \"new\"\n",
    );
    pooler.start();
    for (database, begin, slow, after) in [
        ("db", "", "select pg_sleep(20)", "select pg_sleep(1)"),
        ("own", "", "select pg_sleep(20)", "select pg_sleep(1)"),
        ("db", "begin", "select pg_sleep(20)", "rollback; select pg_sleep(1)"),
        // What this leaves behind has to be asked for.
        (
            "db",
            "",
            "do $$ begin perform set_config('a.b', 'c', false); perform pg_sleep(20); end $$",
            "select pg_sleep(1)",
        ),
        // Settings come before the next statement.
        ("own", "", "set a.c = '1'; select pg_sleep(20)", "select pg_sleep(1)"),
    ] {
        let client = pooler.connect("s", "new", database).await;
        client.batch_execute(begin).await.unwrap();
        let token = client.cancel_token();
        let cancel = async {
            tokio::time::sleep(SLOW).await;
            token.cancel_query(NoTls).await.unwrap();
        };
        let both = async { tokio::join!(client.batch_execute(slow), cancel) };
        let (ended, ()) = tokio::time::timeout(WITHIN, both).await.expect("it is cancelled");
        assert_eq!(ended.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED), "{slow}");
        let after = tokio::time::timeout(WITHIN, client.batch_execute(after)).await.expect("it goes on");
        after.unwrap_or_else(|error| panic!("{begin} {slow}: {error:?}"));
        // The pool's only backend is there for others, unless the client keeps it.
        if database == "db" {
            let other = pooler.connect("s", "new", database).await;
            other.batch_execute("select 1").await.unwrap();
        }
    }
}
