//! What a server is asked for a login, and what comes of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_runtime::task::Scope;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::server::{NEVER_TOLD, Server, hear, message};
use super::*;
use crate::pooled::{Order, Target};

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(10);

/// Where all this is about: an entry with its own lookup, and one whose roles are another's to tell.
struct Scene {
    proxy: Proxy,
    a: Arc<Server>,
    b: Arc<Server>,
    meta: Arc<Server>,
}

async fn scene(settings: &str, scope: &Scope) -> Scene {
    let (a, at_a) = Server::start("of a", false, scope).await;
    let (b, at_b) = Server::start("", true, scope).await;
    let (meta, at_meta) = Server::start("of b", false, scope).await;
    let text = format!(
        "[databases]\na = host=127.0.0.1 port={at_a}\nb = host=127.0.0.1 port={at_b} auth_dbname=meta\n\
         meta = host=127.0.0.1 port={at_meta}\n[pgbouncer]\nserver_tls_sslmode = disable\nauth_type = plain\n\
         auth_user = asker\n{settings}\n"
    );
    Scene { proxy: serve(&text, scope), a, b, meta }
}

/// A client that has said who it is.
pub(super) async fn says(proxy: &Proxy, role: &str, database: &str) -> TcpStream {
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let startup = Startup::new(role).unwrap().with("database", database).unwrap().encode();
    client.write_all(&startup).await.unwrap();
    client
}

/// Everything up to a message with this tag.
pub(super) async fn until(client: &mut TcpStream, tag: u8) -> (u8, Vec<u8>) {
    let wanted = async {
        loop {
            let heard = hear(client).await.expect("the connection ended");
            if heard.0 == tag || heard.0 == b'E' {
                return heard;
            }
        }
    };
    tokio::time::timeout(SOON, wanted).await.unwrap()
}

/// Shows a password. Gives the tag of what it comes to.
async fn shows(client: &mut TcpStream, password: &str) -> u8 {
    assert_eq!(until(client, b'R').await, (b'R', vec![0, 0, 0, 3]));
    client.write_all(&message(b'p', format!("{password}\0").as_bytes())).await.unwrap();
    until(client, b'Z').await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_not_shown_what_another_has_told() {
    let scope = Scope::new();
    let Scene { proxy, a, b, meta } = scene("pool_mode = transaction", &scope).await;
    let mut bob = says(&proxy, "bob", "b").await;
    assert_eq!(shows(&mut bob, "of b").await, b'Z');
    // The name is enough to have the other server asked.
    let mut nobody = says(&proxy, "bob", "a").await;
    assert_eq!(until(&mut nobody, b'R').await.0, b'R');
    drop(nobody);
    let asked = |server: &Server| server.asked.load(Ordering::Relaxed);
    assert_eq!((asked(&a), asked(&meta)), (1, 1));
    b.end_all();
    while b.open.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bob.write_all(&message(b'Q', b"SELECT 1\0")).await.unwrap();
    let (tag, heard) = until(&mut bob, b'Z').await;
    assert_eq!(tag, b'Z', "{}", String::from_utf8_lossy(&heard));
    assert_eq!(*b.shown.lock(), ["of b", "of b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_proved_is_shown_to_no_server() {
    let scope = Scope::new();
    let Scene { proxy, b, .. } = scene("", &scope).await;
    let mut wrong = says(&proxy, "bob", "b").await;
    assert_eq!(shows(&mut wrong, "guessed").await, b'E');
    let known = proxy.shared().upstream.as_ref().unwrap().roles();
    assert!(known.is_empty() && b.shown.lock().is_empty(), "{known:?}");
    let mut bob = says(&proxy, "bob", "b").await;
    assert_eq!(shows(&mut bob, "of b").await, b'Z');
    assert_eq!(proxy.shared().upstream.as_ref().unwrap().roles(), ["bob"]);
}

/// A database whose two servers' connections are all at work for roles of which nothing is ever told.
async fn stuck(settings: &str, scope: &Scope) -> (Scene, Vec<TcpStream>) {
    let settings = format!("default_pool_size = 2\n{settings}");
    let scene = scene(&settings, scope).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(says(&scene.proxy, NEVER_TOLD, "a").await);
    }
    let waiting =
        || scene.proxy.shared().pools.list().iter().map(|pool| pool.counts().cl_waiting).sum::<usize>();
    let all_are = async {
        while scene.a.asked.load(Ordering::Relaxed) < 2 || waiting() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, all_are).await.unwrap();
    (scene, clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_question_whose_asker_has_gone() {
    let scope = Scope::new();
    let (scene, clients) = stuck("", &scope).await;
    drop(clients);
    let mut bob = says(&scene.proxy, "bob", "a").await;
    assert_eq!(shows(&mut bob, "of a").await, b'Z');
    // What was at work is closed, as soon as the server sees it.
    let closed = async {
        while scene.a.open.load(Ordering::Relaxed) > 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, closed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_has_the_time_of_its_login_and_of_a_query() {
    let scope = Scope::new();
    // The first two are at work, the others in line.
    for (settings, told) in [
        ("client_login_timeout = 2", &[(0, "client_login_timeout"), (4, "client_login_timeout")]),
        ("query_timeout = 2", &[(0, "query timeout"), (4, "query_timeout")]),
    ] {
        let (scene, mut clients) = stuck(settings, &scope).await;
        for (client, why) in told {
            let (tag, heard) = until(&mut clients[*client], b'R').await;
            let heard = String::from_utf8_lossy(&heard);
            assert!(tag == b'E' && heard.contains(&format!("\0M{why}\0")), "{settings}: {heard}");
        }
        let mut bob = says(&scene.proxy, "bob", "a").await;
        assert_eq!(shows(&mut bob, "of a").await, b'Z', "{settings}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_waits_for_resume_keeps_its_pool() {
    let scope = Scope::new();
    let Scene { proxy, .. } = scene("pool_idle_timeout = 0.1", &scope).await;
    let (pools, a) = (Arc::clone(&proxy.shared().pools), Target::Named("a".to_owned()));
    pools.order(&a, Order::Pause);
    let mut bob = says(&proxy, "bob", "a").await;
    // The pool is swept several times meanwhile.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(pools.list().len(), 1);
    assert!(pools.resume(&a));
    assert_eq!(shows(&mut bob, "of a").await, b'Z');
}
