//! Logins that a reload of the list overtakes.

use std::time::Duration;

use dormouse_base::Secret;
use dormouse_pgwire::auth::scram::client::{Exchange, Password as Shown};
use dormouse_pgwire::backend::{AuthenticationSasl, SaslContinue};
use dormouse_pooler::config::userlist::{Entry, Password};
use tokio::io::AsyncWriteExt;

use super::looked_up::{says, until};
use super::*;

/// Logins that are at work when the list changes.
const AT_ONCE: usize = 8;

/// How often it is tried: what is to be seen here takes its moment.
const TRIES: usize = 3;

fn plan(password: &str) -> Plan {
    let text = "[databases]\napp = host=127.0.0.1 port=1\n[pgbouncer]\nserver_tls_sslmode = disable\n\
                auth_type = scram-sha-256\n";
    let ini = ini::parse(text, "test", &mut |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    let password = Password::Plain(Secret::new(password.to_owned()));
    let users = vec![Entry { name: "anna".to_owned(), password }];
    Plan::new(ini, Lists { users, ..Lists::default() }).unwrap()
}

/// Whether this is the password.
async fn is_let_in(proxy: &Proxy, password: &str) -> bool {
    let mut client = says(proxy, "anna", "app").await;
    let mut exchange = Exchange::new(Shown::plain(password), None);
    assert_eq!(until(&mut client, b'R').await.1[..4], [0, 0, 0, 10]);
    let first = exchange.start(&AuthenticationSasl::new(["SCRAM-SHA-256"])).unwrap();
    client.write_all(&first.encode()).await.unwrap();
    let (_, challenge) = until(&mut client, b'R').await;
    let answer = exchange.respond(&SaslContinue { data: challenge[4..].to_vec() }).unwrap();
    client.write_all(&answer.encode()).await.unwrap();
    let (tag, heard) = until(&mut client, b'R').await;
    // Nobody listens at the server's address: what counts is what comes before that is told.
    tag == b'R' && heard[..4] == [0, 0, 0, 12]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_passwords_whatever_was_at_work() {
    for _ in 0..TRIES {
        let scope = Scope::new();
        let proxy = serve_plan(plan("old"), &scope);
        let mut clients = Vec::new();
        for _ in 0..AT_ONCE {
            clients.push(says(&proxy, "anna", "app").await);
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
        let upstream = proxy.shared().upstream.clone().unwrap();
        upstream.reload(plan("new"), None, |_| {});
        for client in &mut clients {
            assert_eq!(until(client, b'R').await.0, b'R');
        }
        assert!(is_let_in(&proxy, "new").await);
        assert!(!is_let_in(&proxy, "old").await);
    }
}
