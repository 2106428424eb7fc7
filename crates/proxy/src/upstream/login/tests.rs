//! Logins from outside: what a client is told that takes too long ([`looked_up`]: what a server is asked for one, and
//! what comes of it; [`overtaken`]: while the list is read again).

mod looked_up;
mod overtaken;
mod server;

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pooler::config::ini;
use dormouse_runtime::task::Scope;
use std::io::Write;

use super::*;
use crate::listen::ProxyConfig;
use crate::metrics::Metrics;
use crate::upstream::{Encryption, Lists, Plan};
use crate::{Bound, Proxy};

/// What the slow are told after; others would take much longer.
const LIMIT: &str = "0.3";

fn start(settings: &str, server: u16, scope: &Scope) -> Proxy {
    let text = format!(
        "[databases]\napp = host=127.0.0.1 port={server}\n[pgbouncer]\nserver_tls_sslmode = disable\n\
         client_login_timeout = {LIMIT}\n{settings}\n"
    );
    serve(&text, scope)
}

/// As a file says.
fn serve(text: &str, scope: &Scope) -> Proxy {
    let ini = ini::parse(text, "test", &mut |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    serve_plan(Plan::new(ini, Lists::default()).unwrap(), scope)
}

fn serve_plan(plan: Plan, scope: &Scope) -> Proxy {
    let encryption = Encryption::load(&plan).unwrap();
    let (upstream, _requests) = Upstream::new(plan, encryption);
    let config = ProxyConfig {
        listen: vec![Bound::to((Ipv4Addr::LOCALHOST, 0).into()).unwrap()],
        tls: None,
        max_client_conn: 10,
        max_conn_rate: 0,
        shards: 1,
        secret: b"secret".to_vec(),
        pool: upstream.settings(),
        upstream: Some(upstream.clone()),
    };
    Proxy::start(config, Arc::new(upstream), Metrics::default(), scope).unwrap()
}

/// Everything that a client is told that says this, and nothing more.
fn told(proxy: &Proxy, says: &[u8]) -> String {
    let (mut client, start) = (TcpStream::connect(proxy.address()).unwrap(), Mono::now());
    client.write_all(says).unwrap();
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_too_slow_is_told_so_wherever_it_stands() {
    let scope = Scope::new();
    // It takes connections, and answers nobody: the question for a role never ends.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap().port();
    let startup = Startup::new("anna").unwrap().with("database", "app").unwrap().encode();
    let plain = start("auth_type = plain\n", server, &scope);
    let asks = start("auth_type = plain\nauth_user = asker\n", server, &scope);
    for (proxy, says, what) in [
        (&plain, &[][..], "nothing is said"),
        (&plain, &startup[..7], "half a message"),
        (&plain, &startup, "no password"),
        (&asks, &startup, "a server is asked for the role"),
    ] {
        let heard = told(proxy, says);
        assert!(heard.contains("FATAL\0") && heard.contains("\0C08P01\0"), "{what}: {heard:?}");
        assert!(heard.contains("\0Mclient_login_timeout\0"), "{what}: {heard:?}");
    }
}
