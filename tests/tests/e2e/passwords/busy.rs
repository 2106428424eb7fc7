//! A role that others log in as all the time: what it must prove is remembered for moments then, and a change that anybody
//! makes through Dormouse counts for the very next login all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dormouse_runtime::task::Scope;
use dormouse_tests::Server;
use dormouse_tests::raw::{PROTOCOL_3_0, Raw, startup};
use parking_lot::Mutex;
use tokio_postgres::Client;

use super::{right, wrong};

/// Strangers that ask for the role at the same time.
const STRANGERS: usize = 3;

/// A login takes milliseconds.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);

/// Changes of each kind.
const ROUNDS: usize = 12;

/// Clients that begin to log in as a role and go when they are asked to prove it, again and again.
struct Crowd {
    role: Arc<Mutex<String>>,
    asked: Arc<AtomicU64>,
    scope: Scope,
}

impl Crowd {
    fn new(server: &Server) -> Self {
        let crowd = Self { role: Arc::default(), asked: Arc::default(), scope: Scope::new() };
        for _ in 0..STRANGERS {
            let (port, role, asked) = (server.pg_port(), Arc::clone(&crowd.role), Arc::clone(&crowd.asked));
            let token = crowd.scope.token();
            crowd.scope.spawn("test-stranger", async move {
                while !token.is_cancelled() {
                    let who = role.lock().clone();
                    let mut raw = Raw::open(port).await;
                    raw.send(&startup(PROTOCOL_3_0, &[("user", &who), ("database", "app")])).await;
                    if raw.message().await.is_some() {
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        crowd
    }

    /// Returns when several have asked for it.
    async fn wants(&self, role: &str) {
        role.clone_into(&mut self.role.lock());
        self.goes_on().await;
    }

    /// Returns when several more have asked.
    async fn goes_on(&self) {
        let before = self.asked.load(Ordering::Relaxed);
        while self.asked.load(Ordering::Relaxed) < before + 3 * STRANGERS as u64 {
            tokio::task::yield_now().await;
        }
    }
}

/// How a password is changed.
#[derive(Debug, Clone, Copy)]
enum By {
    Statement,
    Transaction,
    Block,
    FailedBlock,
    Renaming,
}

async fn change(by: By, crowd: &Crowd, session: &Client, role: &str) {
    let run = async |sql: String| session.batch_execute(&sql).await.unwrap();
    match by {
        By::Statement => run(format!("alter role {role} password 'new'")).await,
        By::Transaction => {
            run("begin".to_owned()).await;
            run(format!("alter role {role} password 'new'")).await;
            // Nothing has changed yet, and that is learnt by those who come now.
            crowd.goes_on().await;
            run("select 1".to_owned()).await;
            run("commit".to_owned()).await;
        }
        By::Block => run(format!("do $$begin alter role {role} password 'new'; end$$")).await,
        By::FailedBlock => {
            let block =
                format!("begin alter role {role} password 'new'; commit; raise exception 'too late'; end");
            session.batch_execute(&format!("do $${block}$$")).await.unwrap_err();
        }
        By::Renaming => {
            run(format!("create role {role}_next login password 'new'")).await;
            run(format!("begin; alter role {role} rename to {role}_was; alter role {role}_next rename to {role}; commit"))
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_counts_for_the_next_login() {
    let server = Server::start(&[]);
    let owner = server.login("app_owner", &server.password()).await.unwrap();
    let mut pooled = server.config();
    pooled.dbname(format!("app@{}-pooler", server.default_project().endpoint));
    let pooled = server.connect_with(&pooled).await.unwrap();
    let crowd = Crowd::new(&server);
    for by in [By::Statement, By::Transaction, By::Block, By::FailedBlock, By::Renaming] {
        for round in 0..ROUNDS {
            let session = if round % 2 == 0 { &owner } else { &pooled };
            // Another role each time, so that this is not taken for guessing.
            let role = format!("{by:?}{round}").to_lowercase();
            owner.batch_execute(&format!("create role {role} login password 'old'")).await.unwrap();
            crowd.wants(&role).await;
            right(&server, &role, "old").await;
            crowd.goes_on().await;
            change(by, &crowd, session, &role).await;
            right(&server, &role, "new").await;
            wrong(&server, &role, "old").await;
        }
    }
    assert!(crowd.scope.close(LEAVE_WITHIN).await, "somebody still asks");
}
