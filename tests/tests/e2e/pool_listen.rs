//! Sessions with a backend of their own (pool mode `session`, and LISTEN in any mode) outlive the compute.

use dormouse_tests::raw::{PROTOCOL_3_0, Raw, Welcome, startup};
use dormouse_tests::{Project, Server};
use rustix::process::Signal;

async fn client(server: &Server, mode: &str) -> (Raw, Welcome) {
    let config: tokio_postgres::Config = server.dsn().parse().unwrap();
    let user = config.get_user().unwrap().to_owned();
    let database = config.get_dbname().unwrap().to_owned();
    let mut raw = Raw::open(server.pg_port()).await;
    let params = [("user", user.as_str()), ("database", &database), ("pool_mode", mode)];
    let welcome = raw.login(&startup(PROTOCOL_3_0, &params), &server.password()).await.unwrap();
    (raw, welcome)
}

async fn run(raw: &mut Raw, sql: &str) -> Vec<String> {
    raw.query(sql).await;
    raw.rows().await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

fn suspend(server: &Server, project: &Project) {
    let (status, reply) = server.act(project, "suspend");
    assert!(status < 300, "{reply}");
    server.until_state(project, "stopped");
}

/// The payload of the next notification.
async fn payload(raw: &mut Raw) -> String {
    loop {
        let frame = raw.message().await.expect("a notification, not the end");
        if frame.tag == b'A' {
            let mut texts =
                frame.body[4..].split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text));
            return texts.nth(1).unwrap().into_owned();
        }
        assert_ne!(char::from(frame.tag), 'E', "{frame:?}");
    }
}

#[tokio::test]
async fn listeners_hear_what_is_said_while_they_are_away() {
    let server = Server::start(&[]);
    let project = server.default_project();
    let mut listeners = Vec::new();
    for mode in ["session", "transaction", "transaction"] {
        let (mut raw, _) = client(&server, mode).await;
        run(&mut raw, "set application_name = 'ear'").await;
        run(&mut raw, "listen news").await;
        run(&mut raw, "listen \"More News\"").await;
        listeners.push(raw);
    }
    for round in 0..3 {
        suspend(&server, &project);
        // Whoever wakes it, by the pool or not, speaks first of all.
        let said = format!("round {round}");
        if round % 2 == 0 {
            let direct = server.connect().await;
            direct.batch_execute(&format!("notify news, '{said}'")).await.unwrap();
        } else {
            let (mut pooled, _) = client(&server, "transaction").await;
            run(&mut pooled, &format!("notify \"More News\", '{said}'")).await;
        }
        for raw in &mut listeners {
            assert_eq!(payload(raw).await, said);
        }
    }
    for raw in &mut listeners {
        assert_eq!(run(raw, "show application_name").await, ["ear"]);
        run(raw, "unlisten *").await;
    }
    suspend(&server, &project);
    let direct = server.connect().await;
    direct.batch_execute("notify news, 'too late'").await.unwrap();
    for raw in &mut listeners {
        raw.query("select 'nothing'").await;
        let first = raw.message().await.unwrap();
        assert_eq!(char::from(first.tag), 'T', "who does not listen any more hears nothing");
    }
}

#[tokio::test]
async fn listeners_come_back_after_a_crash() {
    let server = Server::start(&[]);
    let project = server.default_project();
    let (mut raw, _) = client(&server, "session").await;
    run(&mut raw, "listen news").await;
    // What a LISTEN left behind is asked for after its answer; who dies meanwhile has an unknown past.
    run(&mut raw, "select 1").await;
    for round in 0..3 {
        let postmaster = server.postmaster_of(&project);
        dormouse_compute::sandbox::process::signal(postmaster, Signal::KILL);
        server.until_true("the postmaster is gone", || {
            server.endpoint_of(&project)["pid"].as_u64() != Some(u64::from(postmaster))
        });
        let direct = server.connect().await;
        direct.batch_execute(&format!("notify news, '{round}'")).await.unwrap();
        assert_eq!(payload(&mut raw).await, round.to_string());
    }
    suspend(&server, &project);
    assert_eq!(run(&mut raw, "select 'awake'").await, ["awake"], "it may wake the database itself");
    raw.query("notify news, 'own'").await;
    assert_eq!(payload(&mut raw).await, "own");
}

#[tokio::test]
async fn a_session_goes_on_with_another_backend() {
    let server = Server::start(&[]);
    let project = server.default_project();
    let (mut raw, _) = client(&server, "session").await;
    run(&mut raw, "set search_path = pg_catalog; set work_mem = '7MB'").await;
    let (mut open, _) = client(&server, "session").await;
    run(&mut open, "create temp table mine(n int)").await;
    run(&mut open, "set work_mem = '6MB'").await;
    suspend(&server, &project);
    let error = open.error().await;
    assert_eq!(error.fields.code(), "57P01");
    assert!(error.fields.detail().unwrap().contains("temporary objects"), "{error:?}");
    let pid = run(&mut raw, "select pg_backend_pid()").await;
    assert_eq!(run(&mut raw, "show work_mem").await, ["7MB"]);
    assert_eq!(run(&mut raw, "show search_path").await, ["pg_catalog"]);
    assert_eq!(run(&mut raw, "select pg_backend_pid()").await, pid, "it has a backend of its own again");
}
