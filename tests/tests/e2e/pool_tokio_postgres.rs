//! tokio-postgres through the pool: named statements, pipelines of one connection, COPY, portals,
//! LISTEN, cancel, and statements that are closed behind one's back.

use std::collections::HashMap;
use std::time::Duration;

use dormouse_runtime::task::Scope;
use futures_util::{SinkExt, TryStreamExt, future};
use tokio_postgres::{AsyncMessage, Client, NoTls, Statement};

use crate::pool_house::House;
use crate::pool_rust::{Driver, elsewhere, everything};

/// A notification that does not come within this time does not come.
const NOTIFIED_WITHIN: Duration = Duration::from_secs(10);

struct TokioPostgres<'a> {
    runtime: &'a tokio::runtime::Runtime,
    client: Client,
    kept: HashMap<String, Statement>,
    said: tokio::sync::mpsc::Receiver<String>,
}

impl<'a> TokioPostgres<'a> {
    fn connect(runtime: &'a tokio::runtime::Runtime, dsn: &str) -> Self {
        let (client, mut connection) = runtime.block_on(tokio_postgres::connect(dsn, NoTls)).unwrap();
        let (sender, said) = tokio::sync::mpsc::channel(100);
        let guard = runtime.enter();
        Scope::new().spawn("test-client", async move {
            while let Some(Ok(message)) = future::poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(n) = message {
                    let _full = sender.try_send(n.payload().to_owned());
                }
            }
        });
        drop(guard);
        Self { runtime, client, kept: HashMap::new(), said }
    }
}

fn state(error: &tokio_postgres::Error) -> String {
    error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned())
}

impl Driver for TokioPostgres<'_> {
    fn ask(&mut self, text: &str, n: i32) -> Result<String, String> {
        self.runtime.block_on(async {
            let statement = match self.kept.get(text) {
                Some(statement) => statement.clone(),
                None => self.client.prepare(text).await.map_err(|e| state(&e))?,
            };
            self.kept.insert(text.to_owned(), statement.clone());
            let row = self.client.query_one(&statement, &[&n]).await.map_err(|e| state(&e))?;
            Ok(row.get(0))
        })
    }

    fn plain(&mut self, text: &str) -> Result<(), String> {
        self.runtime.block_on(self.client.batch_execute(text)).map_err(|e| state(&e))
    }
}

#[test]
fn tokio_postgres() {
    let house = House::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let connect = || TokioPostgres::connect(&runtime, &house.dsn());
    everything(&house, connect);
    let (mut a, mut b) = (connect(), connect());
    pipelines(&a, &mut b);
    statements_that_go_away(&mut a, &mut b);
    portals_and_copy(&mut a, &mut b);
    notifications(connect(), &b);
    cancel(&a, &b);
    drop((a, b));
    house.assert_clean_log();
}

/// Queries of one connection that are all sent before the first answer.
fn pipelines(a: &TokioPostgres<'_>, b: &mut TokioPostgres<'_>) {
    elsewhere(b, || {
        a.runtime.block_on(async {
            let queries = (0..60i32).map(|i| async move {
                let asked = a.client.query_one("select 100 / ($1::int - 25)", &[&i]).await;
                (i, asked.map(|row| row.get::<_, i32>(0)))
            });
            for (i, asked) in future::join_all(queries).await {
                match asked {
                    Ok(got) => assert_eq!(got, 100 / (i - 25)),
                    Err(error) => assert_eq!((i, state(&error)), (25, "22012".to_owned())),
                }
            }
            let typed =
                a.client.query_typed("select $1::int4 + 1", &[(&1i32, tokio_postgres::types::Type::INT4)]);
            assert_eq!(typed.await.unwrap()[0].get::<_, i32>(0), 2);
        });
    });
}

/// A dropped statement is closed by a message that nobody waits for.
fn statements_that_go_away(a: &mut TokioPostgres<'_>, b: &mut TokioPostgres<'_>) {
    for i in 0..30 {
        let text = format!("select ($1::int + {i})::text as v");
        assert_eq!(a.ask(&text, 1).unwrap(), (i + 1).to_string());
        a.kept.remove(&text);
        assert_eq!(elsewhere(b, || a.ask(&text, 2).unwrap()), (i + 2).to_string());
    }
}

fn portals_and_copy(a: &mut TokioPostgres<'_>, b: &mut TokioPostgres<'_>) {
    let runtime = a.runtime;
    runtime.block_on(async {
        let transaction = a.client.transaction().await.unwrap();
        let portal = transaction.bind("select g from generate_series(1, 1000) g", &[]).await.unwrap();
        let mut total = 0;
        loop {
            let rows = transaction.query_portal(&portal, 90).await.unwrap();
            if rows.is_empty() {
                break;
            }
            total += rows.iter().map(|row| row.get::<_, i32>(0)).sum::<i32>();
            b.client.query_one("select 1", &[]).await.unwrap();
        }
        assert_eq!(total, 500_500);
        transaction.commit().await.unwrap();

        a.client.batch_execute("create table pool_copy (i int)").await.unwrap();
        let sink = a.client.copy_in("copy pool_copy from stdin").await.unwrap();
        let mut sink = Box::pin(sink);
        for i in 0..100 {
            let lines: String = (0..50).map(|n| format!("{}\n", i * 50 + n)).collect();
            sink.send(bytes::Bytes::from(lines)).await.unwrap();
        }
        let seen: i64 = b.client.query_one("select count(*) from pool_copy", &[]).await.unwrap().get(0);
        assert_eq!(seen, 0);
        assert_eq!(sink.as_mut().finish().await.unwrap(), 5000);
        // One that is given up.
        let sink = a.client.copy_in::<_, bytes::Bytes>("copy pool_copy from stdin").await.unwrap();
        drop(sink);
        let out = a.client.copy_out("copy pool_copy to stdout").await.unwrap();
        let lines: Vec<bytes::Bytes> = out.try_collect().await.unwrap();
        assert_eq!(lines.len(), 5000);
        a.client.batch_execute("drop table pool_copy").await.unwrap();
    });
}

fn notifications(mut listener: TokioPostgres<'_>, b: &TokioPostgres<'_>) {
    listener.plain("listen here").unwrap();
    let runtime = listener.runtime;
    for i in 0..3 {
        runtime.block_on(b.client.batch_execute(&format!("notify here, '{i}'"))).unwrap();
        let heard = async { tokio::time::timeout(NOTIFIED_WITHIN, listener.said.recv()).await };
        let got = runtime.block_on(heard).unwrap();
        assert_eq!(got.unwrap(), i.to_string());
        assert_eq!(listener.ask("select $1::int::text as v", i).unwrap(), i.to_string());
    }
    listener.plain("unlisten *").unwrap();
}

fn cancel(a: &TokioPostgres<'_>, b: &TokioPostgres<'_>) {
    a.runtime.block_on(async {
        let token = a.client.cancel_token();
        let sleeping = a.client.batch_execute("select pg_sleep(20)");
        let cancelling = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            token.cancel_query(NoTls).await.unwrap();
        };
        let unharmed = b.client.batch_execute("select pg_sleep(0.5)");
        let (slept, (), unharmed) = future::join3(sleeping, cancelling, unharmed).await;
        assert_eq!(state(&slept.unwrap_err()), "57014");
        unharmed.unwrap();
        a.client.batch_execute("select 1").await.unwrap();
    });
}
