//! Client and route table agree: every call hits a route that the table lists, every listed route
//! has a call, and names are escaped.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use dormouse_api::alert::{AlertState, AlertsQuery, CreateWebhook, UpdateRule};
use dormouse_api::api_key::CreateApiKey;
use dormouse_api::auth::{CreateToken, NewToken};
use dormouse_api::branch::{CreateBranch, DeleteBranchQuery, RestoreBranch, UpdateBranch};
use dormouse_api::client::{self, Call, Failure};
use dormouse_api::connection::ConnectionUriQuery;
use dormouse_api::database::{CreateDatabase, NewDatabase, UpdateDatabase};
use dormouse_api::endpoint::{
    CreateEndpoint, EndpointPatch, EndpointType, NewEndpoint, NewEndpointLimits, UpdateEndpoint,
};
use dormouse_api::event::EventsQuery;
use dormouse_api::import::ImportDirectory;
use dormouse_api::pooler::{PoolerCommand, UpdatePooler};
use dormouse_api::project::{CreateProject, UpdateProject};
use dormouse_api::role::{CreateRole, NewRole};
use dormouse_api::routes::{self, Method};
use dormouse_api::schema::{CompareQuery, SchemaQuery};
use dormouse_api::snapshot::{CreateSnapshotQuery, RestoreSnapshot, UpdateSnapshot};
use dormouse_api::statistics::{By, StatisticsQuery};
use dormouse_api::storage::{CheckStorage, CollectStorage};
use dormouse_api::{PageQuery, Status};
use serde::de::DeserializeOwned;

type Line = (Method, &'static str, String);

fn line<T: DeserializeOwned>(call: &Call<T>) -> Line {
    (call.request().method, call.pattern(), call.request().target())
}

fn estimate() -> dormouse_api::cost::EstimateRequest {
    serde_json::from_str(r#"{"hours_active": 73, "average_cu": 0.5}"#).unwrap()
}

fn statistics() -> StatisticsQuery {
    let metrics = Some("cpu_utilization,cold_start_rate".into());
    StatisticsQuery { metrics, by: Some(By::Endpoint), period: Some(60), ..StatisticsQuery::default() }
}

fn rule() -> dormouse_api::alert::CreateRule {
    serde_json::from_str(r#"{"name": "CPU", "metric": "cpu_utilization", "warning": 70}"#).unwrap()
}

fn branch_calls() -> Vec<Line> {
    let p = &"quiet-meadow-k3v9x2ab".parse().unwrap();
    let b = &"br-quiet-meadow-k3v9x2ab".parse().unwrap();
    let restore = RestoreBranch {
        source_branch_id: "br-calm-oak-abcd2345".parse().unwrap(),
        source_lsn: None,
        source_timestamp: None,
        preserve_under_name: None,
    };
    let at = "0/16B3748".parse().ok();
    let schema = SchemaQuery { db_name: "app".into(), lsn: at, timestamp: None };
    let compare = CompareQuery { db_name: "app".into(), base_lsn: at, ..CompareQuery::default() };
    vec![
        line(&client::branch::list(p, &PageQuery::largest())),
        line(&client::branch::create(p, &CreateBranch::default())),
        line(&client::branch::get(p, b)),
        line(&client::branch::update(p, b, &UpdateBranch::default())),
        line(&client::branch::delete(p, b, DeleteBranchQuery { recursive: Some(true) })),
        line(&client::branch::set_default(p, b)),
        line(&client::branch::restore(p, b, &restore)),
        line(&client::branch::schema(p, b, &schema)),
        line(&client::branch::compare_schema(p, b, &compare)),
        line(&client::branch::store(p, b)),
    ]
}

fn new_token() -> CreateToken {
    let role_name = "app_owner".to_owned();
    let (branch_id, endpoint_id, database_name, expires_in_seconds) = (None, None, None, Some(60));
    CreateToken { token: NewToken { role_name, branch_id, endpoint_id, database_name, expires_in_seconds } }
}

fn new_endpoint() -> CreateEndpoint {
    let endpoint = NewEndpoint {
        branch_id: "br-quiet-meadow-k3v9x2ab".parse().unwrap(),
        kind: EndpointType::ReadOnly,
        pinned_lsn: None,
        pinned_timestamp: None,
        limits: NewEndpointLimits::default(),
    };
    CreateEndpoint { endpoint }
}

#[allow(clippy::too_many_lines, reason = "a list")]
fn every_call() -> Vec<Line> {
    let p = &"quiet-meadow-k3v9x2ab".parse().unwrap();
    let b = &"br-quiet-meadow-k3v9x2ab".parse().unwrap();
    let e = &"ep-calm-oak-abcd2345".parse().unwrap();
    let page = &PageQuery { limit: Some(5), cursor: Some("a b".into()), search: None };
    let uri = &ConnectionUriQuery {
        database_name: "app".into(),
        role_name: "größe".into(),
        branch_id: None,
        endpoint_id: None,
        pooled: Some(true),
    };
    let new_role = CreateRole { role: NewRole { name: "r".into(), no_login: None } };
    let new_database =
        CreateDatabase { database: NewDatabase { name: "d".into(), owner_name: "r".into(), locale: None } };
    let mut calls = branch_calls();
    calls.extend([
        line(&client::project::list(page)),
        line(&client::project::create(&CreateProject::default())),
        line(&client::project::import(&ImportDirectory::default())),
        line(&client::project::get(p)),
        line(&client::project::update(p, &UpdateProject::default())),
        line(&client::project::delete(p)),
        line(&client::project::wake(p)),
        line(&client::project::connection_uri(p, uri)),
        line(&client::endpoint::list(p)),
        line(&client::endpoint::create(p, &new_endpoint())),
        line(&client::endpoint::delete(p, e)),
        line(&client::endpoint::evict(p, e)),
        line(&client::endpoint::set_aside(p, e)),
        line(&client::endpoint::list_of_branch(p, b)),
        line(&client::endpoint::get(p, e)),
        line(&client::endpoint::update(p, e, &UpdateEndpoint::default())),
        line(&client::endpoint::start(p, e)),
        line(&client::endpoint::suspend(p, e)),
        line(&client::endpoint::pause(p, e)),
        line(&client::endpoint::restart(p, e)),
        line(&client::endpoint::events(p, e, &EventsQuery { limit: Some(3) })),
        line(&client::role::list(p, b)),
        line(&client::role::create(p, b, &new_role)),
        line(&client::role::get(p, b, "a/b c")),
        line(&client::role::delete(p, b, "r")),
        line(&client::role::reveal(p, b, "r")),
        line(&client::role::reset(p, b, "r")),
        line(&client::database::list(p, b)),
        line(&client::database::create(p, b, &new_database)),
        line(&client::database::get(p, b, "d?x#y%")),
        line(&client::database::update(p, b, "d", &UpdateDatabase::default())),
        line(&client::database::delete(p, b, "d")),
        line(&client::operation::list(p, page)),
        line(&client::operation::get(p, &"op-calm-oak-abcd2345".parse().unwrap())),
        line(&client::auth::create_token(p, &new_token())),
        line(&client::auth::rotate_key()),
        line(&client::console::link()),
        line(&client::console::sessions()),
        line(&client::console::end("cs-0123456789abcdef")),
        line(&client::api_key::list()),
        line(&client::api_key::create(&CreateApiKey { key_name: "ci".into(), project_id: None })),
        line(&client::api_key::delete(&"key-calm-oak-abcd2345".parse().unwrap())),
        line(&client::server::status()),
        line(&client::server::user()),
        line(&client::server::organizations()),
        line(&client::server::shared_projects()),
        line(&client::audit::list(page)),
        line(&client::audit::of_project(p, page)),
        line(&client::snapshot::list(p)),
        line(&client::snapshot::create(
            p,
            b,
            &CreateSnapshotQuery { name: Some("a b".into()), ..Default::default() },
        )),
        line(&client::snapshot::update(p, "snap-x", &UpdateSnapshot::default())),
        line(&client::snapshot::delete(p, "snap-x")),
        line(&client::snapshot::restore(p, "snap-x", &RestoreSnapshot::default())),
        line(&client::storage::status()),
        line(&client::storage::check(&CheckStorage::default())),
        line(&client::storage::collect(&CollectStorage::default())),
        line(&client::quota::get(p.as_str())),
        line(&client::quota::set(p.as_str(), &dormouse_api::quota::SetQuotas::default())),
        line(&client::usage::report(&dormouse_api::usage::Query::default())),
        line(&client::cost::get(&dormouse_api::cost::CostQuery::default())),
        line(&client::cost::estimate(&estimate())),
        line(&client::cost::sheets()),
        line(&client::statistics::get(&statistics())),
        line(&client::statistics::metrics()),
        line(&client::alert::list(&AlertsQuery {
            state: Some(AlertState::NoData),
            ..AlertsQuery::default()
        })),
        line(&client::alert::rules()),
        line(&client::alert::rule("rule-cpu")),
        line(&client::alert::create_rule(&rule())),
        line(&client::alert::update_rule("rule-cpu", &UpdateRule::default())),
        line(&client::alert::delete_rule("rule-cpu")),
        line(&client::alert::test_rule("rule-cpu")),
        line(&client::alert::webhooks()),
        line(&client::alert::create_webhook(&CreateWebhook { name: None, url: "https://x/".into() })),
        line(&client::alert::delete_webhook("hook-x")),
        line(&client::alert::test_webhook("hook-x")),
        line(&client::pooler::get()),
        line(&client::pooler::update(&UpdatePooler::default())),
        line(&client::pooler::command(&PoolerCommand { command: "SHOW POOLS".into() })),
    ]);
    calls
}

/// Routes that only Neon's clients, and people with curl, ask for.
const WITHOUT_A_CALL: [&str; 9] = [
    routes::PROJECT_RECOVER,
    routes::BRANCHES_COUNT,
    routes::BRANCH_FINALIZE_RESTORE,
    routes::BRANCH_BACKUP_SCHEDULE,
    routes::AUTH,
    routes::REGIONS,
    routes::CONSUMPTION_ACCOUNT,
    routes::CONSUMPTION_PROJECTS,
    routes::OPENAPI,
];

#[test]
fn every_call_has_a_route_and_every_route_a_call() {
    let mut calls: Vec<(&str, &str)> = every_call().iter().map(|(m, p, _)| (*p, m.as_str())).collect();
    let asked = routes::ALL.iter().filter(|route| !WITHOUT_A_CALL.contains(&route.pattern));
    let mut routes: Vec<(&str, &str)> = asked.map(|r| (r.pattern, r.method.as_str())).collect();
    calls.sort_unstable();
    routes.sort_unstable();
    assert_eq!(calls, routes);
}

#[test]
fn what_goes_on_the_wire() {
    let lines: Vec<String> = every_call().iter().map(|(m, _, target)| format!("{m} {target}")).collect();
    insta::assert_snapshot!("calls", lines.join("\n"));
}

#[test]
fn request_bodies() {
    let body = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let p = &"quiet-meadow-k3v9x2ab".parse().unwrap();
    let e = &"ep-calm-oak-abcd2345".parse().unwrap();
    let empty = client::project::create(&CreateProject::default());
    assert_eq!(empty.request().body, Some(body(r#"{"project":{}}"#)), "what is not said is not sent");
    let endpoint = EndpointPatch { pause_timeout_seconds: Some(-1), ..EndpointPatch::default() };
    let patch = client::endpoint::update(p, e, &UpdateEndpoint { endpoint });
    assert_eq!(patch.request().body, Some(body(r#"{"endpoint":{"pause_timeout_seconds":-1}}"#)));
    assert_eq!(client::endpoint::start(p, e).request().body, None);
}

#[test]
fn a_refusal_keeps_what_the_server_said() {
    let body = br#"{"message":"no such project","code":"project-not-found","request_id":"r1"}"#;
    match client::server::status().decode(404, body) {
        Err(Failure::Refused { status: 404, error }) => assert_eq!(error.code, "project-not-found"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn foreign_replies_are_told_apart() {
    let error = client::server::status().decode(502, b"<html>bad gateway</html>").unwrap_err();
    assert!(
        matches!(&error, Failure::Unreadable { status: 502, beginning, .. } if beginning.contains("html"))
    );
    assert!(client::server::status().decode(200, b"{}").is_err());
    let read: Status = client::server::status().decode(200, br#"{"version":"1","endpoints":[]}"#).unwrap();
    assert_eq!(read.version, "1");
}

#[test]
fn a_limit_out_of_range_is_noticed() {
    let limit = |limit| PageQuery { limit, ..PageQuery::default() }.checked_limit();
    assert_eq!(limit(None), Some(100));
    assert_eq!(limit(Some(400)), Some(400));
    assert_eq!((limit(Some(0)), limit(Some(401))), (None, None));
}
