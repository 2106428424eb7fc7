//! What a reload keeps, and what it changes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use dormouse_pooler::config::ini;
use dormouse_runtime::gate::Closing;
use dormouse_runtime::task::Scope;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

fn plan(text: &str) -> (Plan, Encryption) {
    let ini = ini::parse(text, "test", &mut |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    let plan = Plan::new(ini, Lists::default()).unwrap();
    let encryption = Encryption::load(&plan).unwrap();
    (plan, encryption)
}

fn upstream(text: &str) -> Upstream {
    let (plan, encryption) = plan(text);
    Upstream::new(plan, encryption).0
}

impl Upstream {
    fn reads(&self, text: &str) {
        let (plan, encryption) = plan(text);
        self.reload(plan, Some(encryption), |_| {});
    }

    /// The server of the database `app`.
    fn app(&self) -> Arc<Target> {
        Arc::clone(&self.state().targets[&target::id("app")].all()[0])
    }
}

#[test]
fn only_what_leads_elsewhere_now_loses_its_connections() {
    let file = |entry: &str, settings: &str| {
        format!("[databases]\napp = host=127.0.0.1 port=1 {entry}\n[pgbouncer]\n{settings}\n")
    };
    let upstream = upstream(&file("", ""));
    let first = upstream.app();
    for (entry, settings) in [
        ("pool_size=3", ""),
        ("", "server_connect_timeout = 3"),
        ("server_connect_timeout=4", ""),
        ("auth_user=x", ""),
        ("auth_query='SELECT $1'", ""),
        ("auth_dbname=x", ""),
        ("load_balance_hosts=disable", ""),
        ("", "tcp_keepidle = 7"),
    ] {
        upstream.reads(&file(entry, settings));
        assert!(Arc::ptr_eq(&first, &upstream.app()), "{entry} {settings}");
        assert_eq!(*first.closing().borrow(), None, "{entry} {settings}");
    }
    for (entry, settings) in [
        ("user=x", ""),
        ("password=x", ""),
        ("dbname=x", ""),
        ("connect_query='SELECT 1'", ""),
        ("", "server_tls_sslmode = disable"),
    ] {
        let before = upstream.app();
        upstream.reads(&file(entry, settings));
        assert!(!Arc::ptr_eq(&before, &upstream.app()), "{entry} {settings}");
        assert_eq!(*before.closing().borrow(), Some(Closing::Replaced), "{entry} {settings}");
    }
}

#[tokio::test]
async fn options_of_sockets_are_those_of_the_last_reload() {
    let file = |settings: &str| format!("[databases]\napp = host=127.0.0.1\n[pgbouncer]\n{settings}\n");
    let upstream = upstream(&file("tcp_keepalive = 0"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    let connect = async || {
        let stream = TcpStream::connect(place).await.unwrap();
        upstream.app().tune(&stream).unwrap();
        stream
    };
    let stream = connect().await;
    assert!(!socket2::SockRef::from(&stream).keepalive().unwrap());
    upstream.reads(&file(
        "tcp_keepidle = 77\ntcp_keepintvl = 7\ntcp_keepcnt = 3\ntcp_user_timeout = 1234\nserver_connect_timeout = 9",
    ));
    let stream = connect().await;
    let socket = socket2::SockRef::from(&stream);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(77));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(7));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_millis(1234)));
    assert_eq!(upstream.app().introduction("app", "x").unwrap().within, Duration::from_secs(9));
}

#[tokio::test]
async fn clients_have_the_options_of_the_last_reload() {
    let file = |settings: &str| format!("[databases]\n[pgbouncer]\n{settings}\n");
    let upstream = upstream(&file("tcp_keepcnt = 3"));
    let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = || {
        upstream.tune_clients(&SockRef::from(&listening)).unwrap();
        let _near = std::net::TcpStream::connect(listening.local_addr().unwrap()).unwrap();
        let client = listening.accept().unwrap().0;
        let socket = SockRef::from(&client);
        (
            socket.keepalive().unwrap(),
            socket.tcp_keepalive_time().unwrap().as_secs(),
            socket.tcp_keepalive_retries().unwrap(),
            socket.tcp_user_timeout().unwrap(),
        )
    };
    assert_eq!(client(), (true, 60, 3, None));
    upstream.reads(&file("tcp_keepidle = 77\ntcp_user_timeout = 1234"));
    assert_eq!(client(), (true, 77, 5, Some(Duration::from_millis(1234))));
    upstream.reads(&file("tcp_keepalive = 0"));
    let (keepalive, _, _, user_timeout) = client();
    assert_eq!((keepalive, user_timeout), (false, None));
}

/// A server that only encrypts. Gives its port.
async fn encrypting(identity: &Path, scope: &Scope) -> u16 {
    let tls = Tls::load_or_make(identity, "localhost", None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    scope.spawn("test server", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.read_exact(&mut [0; 8]).await.unwrap();
            stream.write_all(b"S").await.unwrap();
            let _refused = tls.current().acceptor.accept(stream).await;
        }
    });
    port
}

#[tokio::test]
async fn new_connections_use_the_tls_files_as_they_were_read_last() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Tls::load_or_make(old.path(), "localhost", None).unwrap();
    let scope = Scope::new();
    let port = encrypting(new.path(), &scope).await;
    let ca = old.path().join("ca.crt");
    fs::copy(old.path().join("server.crt"), &ca).unwrap();
    let file = format!(
        "[databases]\napp = host=127.0.0.1 port={port}\n[pgbouncer]\nserver_tls_sslmode = verify-ca\n\
         server_tls_ca_file = {}\n",
        ca.display()
    );
    let upstream = upstream(&file);
    let first = upstream.app();
    assert!(first.connect().await.is_err(), "the server's authority is not the one of the file");
    fs::copy(new.path().join("server.crt"), &ca).unwrap();
    upstream.reads(&file);
    upstream.app().connect().await.unwrap();
    // What is there is not worse for it.
    assert!(Arc::ptr_eq(&first, &upstream.app()) && first.closing().borrow().is_none());
    fs::copy(old.path().join("server.crt"), &ca).unwrap();
    upstream.reads(&file);
    assert!(upstream.app().connect().await.is_err(), "nobody vouches for it any more");
}
