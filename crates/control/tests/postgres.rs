//! Control with real computes: changes reach PostgreSQL, and what clients do in SQL reaches the
//! metadata.

#![allow(missing_docs, clippy::unwrap_used)]

mod scene;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use dormouse_base::EndpointId;
use dormouse_base::clock::Mono;
use dormouse_compute::event::{Cause, SleepReason};
use dormouse_compute::metrics::Metrics;
use dormouse_compute::postgres::discover::Installations;
use dormouse_compute::postgres::view::View;
use dormouse_compute::sandbox::cgroup::{Cgroups, Choice};
use dormouse_compute::{Fleet, FleetConfig, State};
use dormouse_control::{Computes, Control, Foundation};
use dormouse_pgwire::auth::scram::Verifier;
use dormouse_runtime::task::Scope;
use scene::Scene;
use serde_json::{Value, json as j};

fn fleet(foundation: &Foundation, scope: &Scope, root: &Path) -> Fleet {
    let all = Installations::discover(&[]);
    let views: BTreeMap<u16, View> =
        all.iter().map(|i| (i.major, View::prepare(i, &root.join("views")).unwrap())).collect();
    let config = FleetConfig {
        computes: root.join("computes"),
        run_root: root.join("run"),
        views,
        identities: scene::config(root, &[]).identities,
        cgroups: Cgroups::detect(Choice::Off, "test").unwrap(),
        controllers: dormouse_compute::limits::Controllers::Missing("a test".to_owned()),
        boot_slots: 2,
    };
    Fleet::new(config, Arc::new(foundation.keeper()), Metrics::default(), scope.clone()).unwrap()
}

/// A control plane with a fleet in a directory with a short name (socket paths are bounded).
fn awake() -> Scene {
    Scene::with(|foundation, scope, root| Arc::new(fleet(foundation, scope, root)))
}

/// As through the proxy, which counts what may have changed roles.
async fn run_sql(scene: &Scene, endpoint: &EndpointId, database: &str, sql: &str) {
    let client = scene.computes.admin(endpoint, database).await.unwrap();
    client.batch_execute(sql).await.unwrap();
    scene.computes.role_changes(endpoint).unwrap().happened();
}

async fn ask_one(scene: &Scene, endpoint: &EndpointId, database: &str, sql: &str) -> String {
    let client = scene.computes.admin(endpoint, database).await.unwrap();
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn knows(control: &Control, endpoint: &EndpointId, role: &str, password: &Value) -> bool {
    let stored = control.stored_password(endpoint, role).await.unwrap().unwrap();
    Verifier::parse(&stored.verifier.unwrap()).unwrap().matches_password(password.as_str().unwrap())
}

async fn until(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if happened().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not happen in 10 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_made_asleep_are_there_at_the_first_start() {
    let scene = awake();
    let wish =
        j!({"project": {"name": "shop", "branch": {"database_name": "My DB", "role_name": "boss\"x"}}});
    let (status, made) = scene.post("/projects", wish).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let (project, branch) = scene::paths(&made);
    let endpoint = scene::endpoint(&made);
    let (_, reader) = scene.post(&format!("{branch}/roles"), j!({"role": {"name": "reader"}})).await;
    scene
        .post(&format!("{branch}/databases"), j!({"database": {"name": "two", "owner_name": "reader"}}))
        .await;
    assert!(knows(&scene.control, &endpoint, "reader", &reader["role"]["password"]).await);

    let (status, started) = scene.post(&format!("{project}/endpoints/{endpoint}/start"), Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{started}");
    assert_eq!(started["endpoint"]["state"], "active");
    assert!(started["endpoint"]["pid"].as_u64().unwrap() > 1);
    let facts = ask_one(
        &scene,
        &endpoint,
        "My DB",
        "SELECT concat_ws(' ', pg_get_userbyid(datdba), rolsuper, rolcreatedb, pg_has_role(r.oid, 'pg_monitor', 'member'),
         (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'two'),
         (SELECT count(*) FROM pg_roles WHERE rolname = 'app_owner'), (SELECT count(*) FROM pg_database WHERE datname = 'app'))
         FROM pg_database d JOIN pg_roles r ON r.oid = datdba WHERE datname = current_database()",
    )
    .await;
    assert_eq!(facts, "boss\"x f t t reader 0 0");
    // Now the live catalog answers, and says the same.
    for (role, password) in
        [("reader", &reader["role"]["password"]), ("boss\"x", &made["roles"][0]["password"])]
    {
        assert!(knows(&scene.control, &endpoint, role, password).await, "{role}");
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_while_awake_reach_postgresql_at_once() {
    let scene = awake();
    let made = scene.project("shop").await;
    let (project, branch) = scene::paths(&made);
    let endpoint = scene::endpoint(&made);
    scene.computes.wake(&endpoint, Cause::Client).await.unwrap();

    let (_, role) = scene.post(&format!("{branch}/roles"), j!({"role": {"name": "writer"}})).await;
    let (_, reset) = scene.post(&format!("{branch}/roles/writer/reset_password"), Value::Null).await;
    assert!(!knows(&scene.control, &endpoint, "writer", &role["role"]["password"]).await);
    assert!(knows(&scene.control, &endpoint, "writer", &reset["role"]["password"]).await);
    let (status, _) = scene
        .post(&format!("{branch}/databases"), j!({"database": {"name": "two", "owner_name": "writer"}}))
        .await;
    assert_eq!(status, StatusCode::CREATED);

    // What PostgreSQL refuses changes nothing here either.
    run_sql(
        &scene,
        &endpoint,
        "app",
        "CREATE SCHEMA s AUTHORIZATION writer; CREATE TABLE s.t AS SELECT 1 AS x",
    )
    .await;
    let client = scene.computes.admin(&endpoint, "two").await.unwrap();
    client.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let patch = j!({"database": {"name": "three"}});
    let (status, reply) =
        scene.ask("PATCH", &format!("{branch}/databases/two"), Some(patch), Some(scene.key())).await;
    assert_eq!((status, &reply["code"]), (StatusCode::CONFLICT, &j!("refused-by-postgres")), "{reply}");
    assert_eq!(scene.get(&format!("{branch}/databases/two")).await.0, StatusCode::OK);
    drop(client);

    // A role goes although it owns things in several databases.
    let (status, reply) = scene.delete(&format!("{branch}/roles/writer")).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    let sql = "SELECT concat_ws(' ', nspowner::regrole, to_regrole('writer') IS NULL) FROM pg_namespace WHERE nspname = 's'";
    assert_eq!(ask_one(&scene, &endpoint, "app", sql).await, "app_owner t");
    assert_eq!(scene.control.stored_password(&endpoint, "writer").await.unwrap(), None);

    // The switch of the project makes the owner a superuser, and takes that back.
    for superuser in [true, false] {
        let patch = j!({"project": {"settings": {"owner_is_superuser": superuser}}});
        let (status, reply) = scene.ask("PATCH", &project, Some(patch), Some(scene.key())).await;
        assert_eq!(status, StatusCode::OK, "{reply}");
        let sql = "SELECT rolsuper::text FROM pg_roles WHERE rolname = 'app_owner'";
        assert_eq!(ask_one(&scene, &endpoint, "app", sql).await, superuser.to_string());
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_do_in_sql_is_known_when_it_sleeps() {
    let scene = awake();
    let made = scene.project("shop").await;
    let (_, branch) = scene::paths(&made);
    let endpoint = scene::endpoint(&made);
    scene.computes.wake(&endpoint, Cause::Client).await.unwrap();
    let sql = "ALTER ROLE app_owner PASSWORD 'changed'; CREATE ROLE by_hand LOGIN PASSWORD 'x' VALID UNTIL '2001-01-01';
               CREATE ROLE never LOGIN VALID UNTIL 'infinity'; CREATE ROLE group_of";
    run_sql(&scene, &endpoint, "app", sql).await;
    // Awake: at once.
    assert!(knows(&scene.control, &endpoint, "app_owner", &j!("changed")).await);
    assert!(!knows(&scene.control, &endpoint, "app_owner", &made["roles"][0]["password"]).await);
    let (_, listed) = scene.get(&format!("{branch}/roles")).await;
    assert_eq!(listed["roles"].as_array().unwrap().len(), 4, "{listed}");

    scene.computes.suspend(&endpoint, SleepReason::Request).await.unwrap();
    assert_eq!(scene.computes.state(&endpoint), State::Stopped);
    assert!(knows(&scene.control, &endpoint, "app_owner", &j!("changed")).await);
    let by_hand = scene.control.stored_password(&endpoint, "by_hand").await.unwrap().unwrap();
    assert!(by_hand.valid_until.unwrap() < dormouse_base::clock::now());
    let never = scene.control.stored_password(&endpoint, "never").await.unwrap().unwrap();
    assert_eq!((never.verifier, never.valid_until), (None, None));
    assert!(!scene.control.stored_password(&endpoint, "group_of").await.unwrap().unwrap().can_login);
    assert_eq!(scene.control.stored_password(&endpoint, "dormouse_admin").await.unwrap(), None);
    assert_eq!(scene.computes.state(&endpoint), State::Stopped, "nothing was started for that");
    let (status, reply) = scene.get(&format!("{branch}/roles/app_owner/reveal_password")).await;
    assert_eq!((status, &reply["code"]), (StatusCode::CONFLICT, &j!("password-not-known")));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_the_old_password_does_not_come_back() {
    let scene = awake();
    let made = scene.project("shop").await;
    let endpoint = scene::endpoint(&made);
    scene.computes.wake(&endpoint, Cause::Client).await.unwrap();
    run_sql(&scene, &endpoint, "app", "ALTER ROLE app_owner PASSWORD 'changed'").await;
    let before = scene.computes.pid(&endpoint).unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(before).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("the crash", async || scene.computes.pid(&endpoint) != Some(before)).await;
    // The metadata is behind now; only the compute, when it has recovered, can answer.
    assert!(knows(&scene.control, &endpoint, "app_owner", &j!("changed")).await);
    assert_eq!(scene.computes.state(&endpoint), State::Active);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_endpoint_answers_from_the_metadata_and_is_thawed_for_a_change() {
    let scene = awake();
    let made = scene.project("shop").await;
    let (project, branch) = scene::paths(&made);
    let endpoint = scene::endpoint(&made);
    scene.computes.wake(&endpoint, Cause::Client).await.unwrap();
    run_sql(&scene, &endpoint, "app", "ALTER ROLE app_owner PASSWORD 'changed'").await;
    let (status, paused) = scene.post(&format!("{project}/endpoints/{endpoint}/pause"), Value::Null).await;
    assert_eq!((status, &paused["endpoint"]["state"]), (StatusCode::OK, &j!("paused")), "{paused}");
    assert!(knows(&scene.control, &endpoint, "app_owner", &j!("changed")).await);
    assert_eq!(scene.computes.state(&endpoint), State::Paused, "a question does not thaw it");

    let changes = scene.computes.role_changes(&endpoint).unwrap();
    let before = changes.count();
    let (_, reset) = scene.post(&format!("{branch}/roles/app_owner/reset_password"), Value::Null).await;
    assert_eq!(scene.computes.state(&endpoint), State::Active);
    assert_ne!(changes.count(), before, "what is remembered of roles is void");
    assert!(knows(&scene.control, &endpoint, "app_owner", &reset["role"]["password"]).await);
    assert!(!knows(&scene.control, &endpoint, "app_owner", &j!("changed")).await);
    let (_, revealed) = scene.get(&format!("{branch}/roles/app_owner/reveal_password")).await;
    assert_eq!(revealed["password"], reset["role"]["password"]);
    scene.end().await;
}

/// An answer is not used for longer.
const OUTDATED: Duration = Duration::from_millis(10);

/// Questions take a millisecond, but tests share the processors.
const RENEWED_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn while_a_role_is_busy_it_is_asked_for_again_and_nobody_waits() {
    let scene = awake();
    let made = scene.project("shop").await;
    let endpoint = scene::endpoint(&made);
    let remembered = |role| scene.control.remembered_password(&endpoint, role);
    assert_eq!(remembered("app_owner"), None, "asleep");
    scene.computes.wake(&endpoint, Cause::Client).await.unwrap();
    assert_eq!(remembered("app_owner"), None, "nobody has asked");
    let first = scene.control.stored_password(&endpoint, "app_owner").await.unwrap().unwrap();

    // Changed by nobody whom the server knows of.
    let client = scene.computes.admin(&endpoint, "app").await.unwrap();
    client.batch_execute("ALTER ROLE app_owner PASSWORD 'changed'").await.unwrap();
    drop(client);
    let (start, mut asked) = (Mono::now(), Mono::now());
    loop {
        match remembered("app_owner") {
            Some(role) if asked.elapsed() > OUTDATED && role != first => break,
            Some(_) => {}
            // A question took longer than it should.
            None => {
                asked = Mono::now();
                scene.control.stored_password(&endpoint, "app_owner").await.unwrap();
            }
        }
        assert!(start.elapsed() < RENEWED_WITHIN, "every answer was waited for");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    scene.computes.suspend(&endpoint, SleepReason::Request).await.unwrap();
    assert_eq!(remembered("app_owner"), None, "only PostgreSQL knows while it runs");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_deleted_asleep_is_locked_at_once_and_gone_after_the_next_start() {
    let scene = awake();
    let made = scene.project("shop").await;
    let (_, branch) = scene::paths(&made);
    let endpoint = scene::endpoint(&made);
    scene.post(&format!("{branch}/roles"), j!({"role": {"name": "writer"}})).await;
    scene.computes.wake(&endpoint, Cause::Client).await.unwrap();
    run_sql(&scene, &endpoint, "app", "CREATE SCHEMA s AUTHORIZATION writer").await;
    scene.computes.suspend(&endpoint, SleepReason::Request).await.unwrap();
    assert_eq!(scene.delete(&format!("{branch}/roles/writer")).await.0, StatusCode::OK);
    assert_eq!(scene.control.stored_password(&endpoint, "writer").await.unwrap(), None);

    // It owns something in a database that the start does not look into: it is locked, not dropped.
    scene.computes.wake(&endpoint, Cause::Client).await.unwrap();
    let stored = scene.control.stored_password(&endpoint, "writer").await.unwrap().unwrap();
    assert!(!stored.can_login && stored.verifier.is_none());
    assert_eq!(scene.get(&format!("{branch}/roles/writer")).await.0, StatusCode::NOT_FOUND);
    scene.control.start_reconcilers();
    until("the drop", async || scene.control.stored_password(&endpoint, "writer").await.unwrap().is_none())
        .await;
    let owner = ask_one(
        &scene,
        &endpoint,
        "app",
        "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 's'",
    );
    assert_eq!(owner.await, "app_owner");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_server_left_is_healed_by_the_next_one() {
    let scene = awake();
    let made = scene.project("shop").await;
    let endpoint = scene::endpoint(&made);
    scene.computes.wake(&endpoint, Cause::Client).await.unwrap();
    run_sql(&scene, &endpoint, "app", "ALTER ROLE app_owner PASSWORD 'changed'").await;
    let pid = i32::try_from(scene.computes.pid(&endpoint).unwrap()).unwrap();
    let dir = scene.crash().await;
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();

    let made_by = |f: &Foundation, s: &Scope, r: &Path| -> Arc<dyn Computes> { Arc::new(fleet(f, s, r)) };
    let scene = Scene::open(dir, &[], made_by);
    assert_eq!(scene.computes.state(&endpoint), State::Stopped);
    scene.control.start_reconcilers();
    until("the healing", async || scene.computes.state(&endpoint) == State::Active).await;
    assert!(knows(&scene.control, &endpoint, "app_owner", &j!("changed")).await);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spares_are_kept_and_used_and_events_are_written() {
    let scene = awake();
    scene.control.start_reconcilers();
    let count = || {
        let entries = std::fs::read_dir(scene.data().join("templates")).unwrap();
        entries.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("spare-")).count()
    };
    until("a spare", async || count() >= 1).await;
    let made = scene.project("shop").await;
    let (project, _) = scene::paths(&made);
    let endpoint = scene::endpoint(&made);
    let (_, started) = scene.post(&format!("{project}/endpoints/{endpoint}/start"), Value::Null).await;
    assert_eq!(started["endpoint"]["state"], "active", "{started}");
    let events = format!("{project}/endpoints/{endpoint}/events");
    until("the event", async || {
        let (_, list) = scene.get(&events).await;
        list["events"]
            .as_array()
            .unwrap()
            .iter()
            .any(|e| e["kind"] == "woke" && e["detail"]["cause"] == "request")
    })
    .await;
    until("the time of the start", async || {
        let (_, one) = scene.get(&format!("{project}/endpoints/{endpoint}")).await;
        one["endpoint"]["started_at"].is_string()
    })
    .await;
    until("spares again", async || count() >= 2).await;
    let names: Vec<&str> = scene.control.reconcilers().iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "alerts",
            "events",
            "expire",
            "garbage",
            "heal",
            "measure",
            "metering",
            "mirror",
            "notices",
            "operations",
            "pending",
            "pressure",
            "schedule",
            "spares",
            "warm",
            "weigh",
        ]
    );
    assert!(
        scene.control.reconcilers().iter().all(|(_, status)| status.ok),
        "{:?}",
        scene.control.reconcilers()
    );
    let (status, reply) = scene.delete(&project).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert!(!scene.data().join("computes").join(endpoint.as_str()).exists());
    scene.end().await;
}

/// The installation with client tools that every development machine has.
const WITH_PG_DUMP: u16 = 15;

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_read_from_a_running_endpoint() {
    if Installations::discover(&[]).get(WITH_PG_DUMP).is_none() {
        return;
    }
    let scene = awake();
    let (status, made) =
        scene.post("/projects", j!({"project": {"name": "old", "pg_version": WITH_PG_DUMP}})).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let (project, branch) = scene::paths(&made);
    let endpoint = scene::endpoint(&made);
    let (status, reply) = scene.get(&format!("{branch}/schema?db_name=app")).await;
    assert_eq!(status, StatusCode::OK, "it is woken for the question: {reply}");
    run_sql(&scene, &endpoint, "app", "CREATE TABLE public.\"Stock\" (id int PRIMARY KEY)").await;
    let (_, reply) = scene.get(&format!("{branch}/schema?db_name=app")).await;
    let sql = reply["sql"].as_str().unwrap();
    assert!(sql.contains("CREATE TABLE public.\"Stock\"") && !sql.contains("\\restrict"), "{sql}");

    // A branch without an endpoint gets one for the question, which is gone afterwards.
    let body = j!({"branch": {"name": "dev"}});
    let (_, dev) = scene.post(&format!("{project}/branches"), body).await;
    let dev = dev["branch"]["id"].as_str().unwrap();
    let (status, reply) = scene.get(&format!("{project}/branches/{dev}/schema?db_name=app")).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    let (_, all) = scene.get(&format!("{project}/endpoints")).await;
    assert_eq!(all["endpoints"].as_array().unwrap().len(), 1, "{all}");
    run_sql(&scene, &endpoint, "app", "CREATE TABLE public.\"Later\" (id int PRIMARY KEY)").await;
    let compare = format!("{project}/branches/{dev}/compare_schema?db_name=app");
    let (status, reply) = scene.get(&compare).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    let diff = reply["diff"].as_str().unwrap();
    assert!(
        diff.contains("CREATE TABLE public.\"Later\"") && !diff.contains("+CREATE TABLE public.\"Stock\""),
        "{reply}"
    );
    scene.end().await;
}
