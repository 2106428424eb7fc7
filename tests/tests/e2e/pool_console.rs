//! The operator's view of the pooler: its console by psql, its settings, its numbers; and who may not have it.

use std::time::Duration;

use dormouse_runtime::task;
use dormouse_tests::programs::{Said, psql};
use dormouse_tests::{Project, Server};
use serde_json::json;
use tokio_postgres::Client;

/// Enough for what should happen at once, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Long enough to see that something does not happen.
const A_WHILE: Duration = Duration::from_millis(300);

struct Console {
    connection: String,
    key: String,
}

impl Console {
    fn of(server: &Server) -> Self {
        let port = server.pg_port();
        Self {
            connection: format!("host=127.0.0.1 port={port} user=dormouse dbname=dormouse sslmode=disable"),
            key: server.ready()["api_key"].as_str().unwrap().to_owned(),
        }
    }

    fn say(&self, command: &str) -> Said {
        psql(&self.connection, &self.key, &["-c", command])
    }

    /// The rows of SHOW, as name → value.
    fn show(&self, what: &str) -> Vec<std::collections::HashMap<String, String>> {
        let arguments = ["-P", "tuples_only=off", "-P", "footer=off", "-c"];
        let command = format!("SHOW {what}");
        let mut all = arguments.to_vec();
        all.push(&command);
        let said = psql(&self.connection, &self.key, &all).good();
        let mut lines = said.lines().map(|line| line.split('|').map(str::to_owned).collect::<Vec<_>>());
        let names = lines.next().unwrap();
        lines.map(|cells| names.iter().cloned().zip(cells).collect()).collect()
    }

    /// The same in the background.
    fn order(&self, command: &'static str) -> std::sync::mpsc::Receiver<Said> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let (connection, key) = (self.connection.clone(), self.key.clone());
        task::thread("console", move || {
            let _gone = sender.send(psql(&connection, &key, &["-c", command]));
        });
        receiver
    }
}

async fn pooled(server: &Server) -> Client {
    server.try_connect(server.ready()["pooled_connection_string"].as_str().unwrap()).await.unwrap()
}

fn place(project: &Project) -> String {
    format!("app@{}", project.endpoint)
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.expect("it takes too long")
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_what_the_pools_do() {
    let server = Server::start(&[]);
    let (console, place) = (Console::of(&server), place(&server.default_project()));
    let (busy, idle) = (pooled(&server).await, pooled(&server).await);
    busy.batch_execute("select pg_advisory_lock(7)").await.unwrap();
    idle.batch_execute("select 1").await.unwrap();

    let pools = console.show("POOLS");
    assert_eq!(pools.len(), 1);
    let pool = |name: &str| pools[0][name].as_str();
    assert_eq!(
        (pool("database"), pool("user"), pool("pool_mode")),
        (place.as_str(), "app_owner", "transaction")
    );
    assert_eq!(
        (pool("cl_active"), pool("cl_waiting"), pool("sv_active"), pool("sv_idle")),
        ("2", "0", "1", "1")
    );

    let clients = console.show("CLIENTS");
    let pinned: Vec<_> = clients.iter().filter(|client| client["pinned"] == "advisory_lock").collect();
    assert_eq!((clients.len(), pinned.len()), (2, 1));
    let servers = console.show("SERVERS");
    let linked: Vec<_> = servers.iter().filter(|it| it["link"] == pinned[0]["ptr"]).collect();
    assert_eq!((servers.len(), linked.len()), (2, 1));
    assert_eq!((pinned[0]["state"].as_str(), linked[0]["state"].as_str()), ("active", "active"));
    assert_eq!(clients.iter().filter(|client| client["state"] == "idle").count(), 1);

    let stats = console.show("STATS_TOTALS");
    assert_eq!(stats[0]["database"], place);
    assert!(stats[0]["server_assignment_count"].parse::<u64>().unwrap() >= 2, "{stats:?}");
    assert_eq!(console.show("DATABASES")[0]["current_connections"], "2");
    assert_eq!(console.show("USERS")[0]["current_client_connections"], "2");
    let lists = console.show("LISTS");
    let items = |list: &str| lists.iter().find(|row| row["list"] == list).unwrap()["items"].clone();
    assert_eq!(
        (items("used_clients"), items("used_servers"), items("pools")),
        ("2".into(), "2".into(), "1".into())
    );
    for what in [
        "SOCKETS",
        "ACTIVE_SOCKETS",
        "STATS",
        "STATS_AVERAGES",
        "TOTALS",
        "CONFIG",
        "MEM",
        "STATE",
        "VERSION",
        "PEERS",
        "PEER_POOLS",
        "FDS",
        "DNS_HOSTS",
        "DNS_ZONES",
        "HELP",
    ] {
        console.say(&format!("SHOW {what}")).good();
    }
    assert!(console.show("VERSION")[0]["version"].starts_with("PgBouncer 1.25"));
    let metrics = server.metrics();
    let endpoint = &server.default_project().endpoint;
    for line in [
        format!("dormouse_pool_clients{{endpoint=\"{endpoint}\",state=\"active\"}} 2"),
        format!("dormouse_pool_servers{{endpoint=\"{endpoint}\",state=\"idle\"}} 1"),
        format!("dormouse_pool_pinned{{endpoint=\"{endpoint}\",reason=\"advisory_lock\"}} 1"),
    ] {
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
    server.assert_clean_log(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_lets_transactions_end_and_starts_none() {
    let server = Server::start(&[]);
    let console = Console::of(&server);
    let (busy, waiting) = (pooled(&server).await, pooled(&server).await);
    busy.batch_execute("begin; select 1").await.unwrap();
    let paused = console.order("PAUSE app");
    // Its transaction keeps the pool from being paused.
    server.until_true("PAUSE has come", || console.show("DATABASES")[0]["paused"] == "1");
    assert!(paused.recv_timeout(A_WHILE).is_err(), "PAUSE does not wait for the transaction");
    let query = task(async move {
        waiting.batch_execute("select 1").await.unwrap();
        waiting
    });
    server.until_true("it waits", || console.show("POOLS")[0]["cl_waiting"] == "1");
    busy.batch_execute("commit").await.unwrap();
    paused.recv_timeout(SOON).unwrap().good();
    assert_eq!(console.show("POOLS")[0]["sv_active"], "0");
    assert!(!query.is_finished(), "a transaction began in a pool that is paused");
    console.say("PAUSE nowhere").bad();
    console.say("RESUME app").good();
    within(query).await.unwrap();
    assert!(console.say("RESUME app").bad().contains("is not paused"));

    // All of them, those that come later too.
    console.say("PAUSE").good();
    assert!(console.say("PAUSE").bad().contains("already suspended/paused"));
    let state = console.show("STATE");
    assert_eq!(state.iter().find(|row| row["key"] == "paused").unwrap()["value"], "yes");
    console.say("RESUME").good();
    within(busy.batch_execute("select 1")).await.unwrap();
    server.assert_clean_log(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_cut_kept_out_and_get_new_backends() {
    let server = Server::start(&[]);
    let console = Console::of(&server);
    let config: tokio_postgres::Config =
        server.ready()["pooled_connection_string"].as_str().unwrap().parse().unwrap();
    let session = server.session_of(&config).await.unwrap();
    session.client.batch_execute("begin; select 1").await.unwrap();
    let id = console.show("CLIENTS")[0]["id"].clone();
    assert!(console.say("KILL_CLIENT 999999").bad().contains("client not found"));
    console.say(&format!("KILL_CLIENT {id}")).good();
    assert_eq!(session.last_words().await.code().code(), "57P01");

    let client = pooled(&server).await;
    let pid = |row: tokio_postgres::Row| row.get::<_, i32>(0);
    let before = pid(client.query_one("select pg_backend_pid()", &[]).await.unwrap());
    console.say("RECONNECT").good();
    console.say("WAIT_CLOSE").good();
    assert_ne!(before, pid(client.query_one("select pg_backend_pid()", &[]).await.unwrap()));

    console.say("DISABLE app").good();
    let refused = server.session_of(&config).await.map(drop).unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "57P03");
    client.batch_execute("select 1").await.unwrap();
    console.say("ENABLE app").good();
    drop(pooled(&server).await);

    console.say("KILL app").good();
    assert!(within(client.batch_execute("select 1")).await.is_err());
    console.say("RESUME app").good();
    pooled(&server).await.batch_execute("select 1").await.unwrap();
    assert!(console.say("SHUTDOWN").bad().contains("dormouse up"));
    server.assert_clean_log(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_hold_at_once_and_after_a_restart() {
    let mut server = Server::start(&["--pool-setting", "max_user_client_connections=3"]);
    let console = Console::of(&server);
    console.say("SET default_pool_size = 1").good();
    let (first, second, _third) = (pooled(&server).await, pooled(&server).await, pooled(&server).await);
    let config: tokio_postgres::Config =
        server.ready()["pooled_connection_string"].as_str().unwrap().parse().unwrap();
    let refused = server.session_of(&config).await.map(drop).unwrap_err();
    let refused = refused.as_db_error().unwrap();
    assert_eq!(refused.code().code(), "53300");
    assert!(refused.message().contains("max_user_client_connections") && refused.hint().is_some());

    first.batch_execute("begin; select 1").await.unwrap();
    let query = task(async move { second.batch_execute("select 1").await });
    server.until_true("it waits", || console.show("POOLS")[0]["cl_waiting"] == "1");
    let changed = server.cli_json(&["pooler", "config", "pool_size=2"]);
    assert_eq!(changed["settings"][0]["value"], "2");
    within(query).await.unwrap().unwrap();
    assert!(console.say("SET default_pool_size = many").bad().contains("default_pool_size"));
    assert_eq!(server.api("PATCH", "/pooler", &json!({"settings": {"nonsense": "1"}})).0, 400);
    let shown = server.cli_json(&["pooler", "show", "pools"]);
    assert_eq!(shown["columns"][0], "database");
    assert_eq!(shown["rows"].as_array().unwrap().len(), 1);
    drop(first);

    server.stop();
    server.start_again();
    let console = Console::of(&server);
    let value = |name: &str| {
        console.show("CONFIG").into_iter().find(|row| row["key"] == name).unwrap()["value"].clone()
    };
    assert_eq!((value("default_pool_size"), value("max_user_client_connections")), ("2".into(), "3".into()));
    server.cli_json(&["pooler", "config", "default_pool_size="]);
    assert_eq!(value("default_pool_size"), "25");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_get_in() {
    let server = Server::start(&[]);
    let port = server.pg_port();
    let (password, console) = (server.password(), Console::of(&server));
    let place = |user: &str, rest: &str| format!("host=127.0.0.1 port={port} user={user} {rest}");
    for (user, password) in
        [("app_owner", password.as_str()), ("dormouse", &password), ("app_owner", &console.key)]
    {
        let said =
            psql(&place(user, "dbname=dormouse sslmode=disable"), password, &["-c", "SHOW POOLS"]).bad();
        assert!(said.contains("password authentication failed for user"), "{said}");
    }
    // Over TLS too, and by the other names; there its tables are PgBouncer's.
    let theirs = place("pgbouncer", "dbname=pgbouncer sslmode=require");
    let columns = |show| psql(&theirs, &console.key, &["-P", "tuples_only=off", "-c", show]).good();
    assert!(columns("SHOW CLIENTS").lines().next().unwrap().ends_with("|prepared_statements|id"));
    assert!(columns("SHOW SERVERS").lines().next().unwrap().ends_with("|prepared_statements|id"));
    // A database of that name is behind its branch; there is none.
    let said = psql(&place("app_owner", "dbname=dormouse@main"), &password, &["-c", "select 1"]).bad();
    assert!(said.contains("database \"dormouse\" does not exist"), "{said}");
    console.say("SET stats_users = app_owner").good();
    let look = place("app_owner", "dbname=dormouse sslmode=disable");
    psql(&look, &console.key, &["-c", "SHOW POOLS"]).good();
    assert!(psql(&look, &console.key, &["-c", "PAUSE"]).bad().contains("admin access needed"));
    // A revoked key opens nothing.
    let (_, made) = server.api("POST", "/api_keys", &json!({"key_name": "operator"}));
    let key = made["key"].as_str().unwrap();
    psql(&console.connection, key, &["-c", "SHOW VERSION"]).good();
    server.api("DELETE", &format!("/api_keys/{}", made["id"].as_str().unwrap()), &serde_json::Value::Null);
    psql(&console.connection, key, &["-c", "SHOW VERSION"]).bad();
}

/// Two databases, one role, one backend between them: it goes where somebody waits.
#[tokio::test(flavor = "multi_thread")]
async fn pools_share_a_cap() {
    let server = Server::start(&["--pool-setting", "max_user_connections=1"]);
    let console = Console::of(&server);
    let first = pooled(&server).await;
    first.batch_execute("create database second").await.unwrap();
    let mut config: tokio_postgres::Config =
        server.ready()["pooled_connection_string"].as_str().unwrap().parse().unwrap();
    let second = within(server.session_of(config.dbname("second"))).await.unwrap();
    for _ in 0..3 {
        within(first.batch_execute("select 1")).await.unwrap();
        within(second.client.batch_execute("select 1")).await.unwrap();
    }
    assert_eq!(console.show("USERS")[0]["current_connections"], "1");
    // While it is in use the other waits, and then gets it.
    first.batch_execute("begin; select 1").await.unwrap();
    let query = task(async move { second.client.batch_execute("select 1").await });
    server.until_true("it waits", || console.show("POOLS").iter().any(|row| row["cl_waiting"] == "1"));
    first.batch_execute("commit").await.unwrap();
    within(query).await.unwrap().unwrap();
    server.assert_clean_log(&[]);
}

/// Something that goes on while the test does something else.
#[allow(clippy::disallowed_methods, reason = "a test has no scope, and ends with its tasks")]
fn task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(work)
}
