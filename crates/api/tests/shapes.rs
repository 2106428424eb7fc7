//! The JSON of every resource, as snapshots: a change of the contract shows up as a diff here.
//! Each value is also read back, so that server and client agree.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::fmt::Debug;

use dormouse_api::branch::{BranchHistory, BranchSizes, BranchState, CreateBranch, UpdateBranch};
use dormouse_api::endpoint::{EndpointLimits, EndpointLive, EndpointSettings, EndpointType, PoolerMode};
use dormouse_api::project::{AllowedIps, EndpointDefaults, PreloadLibraries, ProjectSettings};
use dormouse_api::quota::NeonQuota;
use dormouse_api::*;
use dormouse_base::{Secret, Timestamp};
use insta::assert_snapshot;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn at(second: u8) -> Timestamp {
    format!("2026-01-02T03:04:{second:02}Z").parse().unwrap()
}

fn json<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> String {
    let text = serde_json::to_string_pretty(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
    text
}

fn used() -> used::Used {
    used::Used {
        active_time_seconds: 3600,
        compute_time_seconds: 900,
        cpu_used_sec: 900,
        written_data_bytes: 16_777_216,
        data_transfer_bytes: 1_000_000,
    }
}

fn project() -> Project {
    Project {
        id: "quiet-meadow-k3v9x2ab".parse().unwrap(),
        name: "shop".into(),
        pg_version: 18,
        region_id: project::REGION.into(),
        platform_id: project::PLATFORM.into(),
        provisioner: endpoint::PROVISIONER.into(),
        creation_source: branch::CREATION_SOURCE.into(),
        owner_id: user::LOGIN.into(),
        created_at: at(5),
        updated_at: at(6),
        store_passwords: true,
        proxy_host: "localhost".into(),
        history_retention_seconds: 0,
        default_endpoint_settings: EndpointDefaults {
            suspend_timeout_seconds: 0,
            autoscaling_limit_min_cu: 0.25,
            autoscaling_limit_max_cu: 2.0,
            pause_timeout_seconds: 3600,
        },
        settings: ProjectSettings {
            preload_libraries: PreloadLibraries { enabled_libraries: vec!["pg_stat_statements".into()] },
            owner_is_superuser: false,
            allowed_ips: AllowedIps { ips: vec!["192.0.2.7".into()], protected_branches_only: true },
            quota: NeonQuota::default(),
        },
        default_branch_id: Some("br-quiet-meadow-k3v9x2ab".parse().unwrap()),
        used: used::ProjectUsed {
            used: used(),
            data_storage_bytes_hour: 7_200_000_000,
            synthetic_storage_size: Some(31_000_000),
            consumption_period_start: "2026-01-01T00:00:00Z".parse().unwrap(),
            consumption_period_end: "2026-02-01T00:00:00Z".parse().unwrap(),
            quota_reset_at: Some("2026-02-01T00:00:00Z".parse().unwrap()),
            compute_last_active_at: Some(at(6)),
        },
    }
}

fn branch() -> Branch {
    Branch {
        id: "br-quiet-meadow-k3v9x2ab".parse().unwrap(),
        project_id: project().id,
        name: "main".into(),
        current_state: BranchState::Ready,
        pending_state: None,
        parent_id: None,
        parent_lsn: None,
        parent_timestamp: None,
        default: true,
        protected: false,
        primary: true,
        created_at: at(5),
        updated_at: at(5),
        creation_source: "dormouse".into(),
        expires_at: None,
        ttl_interval_seconds: None,
        past: branch::BranchPast { state_changed_at: at(5), ..Default::default() },
        used: used(),
        sizes: BranchSizes::default(),
        history: None,
    }
}

fn endpoint() -> Endpoint {
    let (current_state, pending_state) = LiveState::Starting.in_neon_words();
    Endpoint {
        id: "ep-calm-oak-abcd2345".parse().unwrap(),
        project_id: project().id,
        branch_id: branch().id,
        host: "ep-calm-oak-abcd2345.localhost".into(),
        proxy_host: "localhost".into(),
        region_id: project::REGION.into(),
        provisioner: endpoint::PROVISIONER.into(),
        kind: EndpointType::ReadWrite,
        pinned_lsn: None,
        disabled: false,
        passwordless_access: false,
        creation_source: branch::CREATION_SOURCE.into(),
        pooler_enabled: true,
        pooler_mode: PoolerMode::Transaction,
        settings: EndpointSettings { pg_settings: BTreeMap::from([("work_mem".into(), "16MB".into())]) },
        allowed_ips: vec!["192.0.2.0/24".into()],
        live: EndpointLive {
            current_state,
            pending_state,
            state: LiveState::Starting,
            pid: None,
            last_active: None,
            started_at: Some(at(7)),
            suspended_at: None,
            next_wake: None,
            current_cu: Some(0.5),
            load: None,
        },
        limits: EndpointLimits {
            suspend_timeout_seconds: 0,
            pause_timeout_seconds: -1,
            autoscaling_limit_min_cu: 0.25,
            autoscaling_limit_max_cu: 2.0,
            keep_warm: Vec::new(),
            prewarm: false,
        },
        created_at: at(5),
        updated_at: at(7),
    }
}

fn role(password: Option<&str>) -> Role {
    Role {
        branch_id: branch().id,
        name: "app_owner".into(),
        password: password.map(|p| Secret::new(p.to_owned())),
        protected: false,
        created_at: at(5),
        updated_at: at(5),
        no_login: false,
    }
}

fn database() -> Database {
    Database {
        id: 1,
        branch_id: branch().id,
        name: "app".into(),
        owner_name: "app_owner".into(),
        created_at: at(5),
        updated_at: at(5),
    }
}

fn operation() -> Operation {
    Operation {
        id: "op-calm-oak-abcd2345".parse().unwrap(),
        project_id: project().id,
        branch_id: Some(branch().id),
        endpoint_id: None,
        action: "create_project".into(),
        status: OperationStatus::Finished,
        error: None,
        failures_count: 0,
        retry_at: None,
        created_at: at(5),
        updated_at: at(6),
        total_duration_ms: 840,
    }
}

fn uri() -> ConnectionUri {
    ConnectionUri {
        connection_uri: Secret::new(
            "postgresql://app_owner:s3cret@ep-calm-oak-abcd2345.localhost:5455/app".into(),
        ),
        connection_parameters: ConnectionParameters {
            database: "app".into(),
            password: Secret::new("s3cret".into()),
            role: "app_owner".into(),
            host: "ep-calm-oak-abcd2345.localhost".into(),
            pooler_host: "ep-calm-oak-abcd2345-pooler.localhost".into(),
            port: 5455,
        },
    }
}

#[test]
fn project_shape() {
    assert_snapshot!("project", json(&project()));
    let page = Projects { projects: vec![project()], pagination: Some(Page::at_cursor("p1".into())) };
    assert!(json(&page).contains("\"pagination\": {\n    \"cursor\": \"p1\"\n  }"));
}

#[test]
fn branch_shape() {
    let list = Branches { branches: vec![branch()], annotations: BTreeMap::new(), pagination: None };
    assert_snapshot!("branches", json(&list));
}

#[test]
fn a_child_with_everything_that_can_be_told() {
    let child = Branch {
        parent_id: Some(branch().id),
        parent_lsn: Some("0/16B3748".parse().unwrap()),
        parent_timestamp: Some(at(1)),
        expires_at: Some(at(9)),
        ttl_interval_seconds: Some(3600),
        past: branch::BranchPast {
            state_changed_at: at(2),
            last_reset_at: Some(at(2)),
            restored_from: Some(branch().id),
        },
        sizes: BranchSizes { logical_size: Some(7), own_size: Some(5), history_size: Some(0) },
        history: Some(BranchHistory {
            start: "0/1000000".parse().unwrap(),
            start_at: Some(at(1)),
            stored: "0/16B3748".parse().unwrap(),
        }),
        ..branch()
    };
    assert_snapshot!("branch_child", json(&child));
}

#[test]
fn requests_of_neons_clients_are_understood() {
    let create: CreateBranch = serde_json::from_str(
        r#"{"branch":{"name":"dev","parent_id":"br-quiet-meadow-k3v9x2ab","parent_lsn":"0/16B3748"},
            "endpoints":[{"type":"read_write","suspend_timeout_seconds":60}],"annotation_value":{}}"#,
    )
    .unwrap();
    assert_eq!(create.endpoints[0].limits.suspend_timeout_seconds, Some(60));
    assert_eq!(create.branch.parent_lsn, Some("0/16B3748".parse().unwrap()));
    let update = |text: &str| serde_json::from_str::<UpdateBranch>(text).unwrap().branch.expires_at;
    assert_eq!(update(r#"{"branch":{}}"#), None, "not mentioned: stays");
    assert_eq!(update(r#"{"branch":{"expires_at":null}}"#), Some(None), "null: never");
    assert!(update(r#"{"branch":{"expires_at":"2026-01-02T03:04:05Z"}}"#).flatten().is_some());
}

#[test]
fn endpoint_shape() {
    assert_snapshot!("endpoint", json(&endpoint()));
}

#[test]
fn role_shape() {
    assert_snapshot!("role", json(&role(None)));
    assert_snapshot!("role_with_password", json(&role(Some("s3cret"))));
}

#[test]
fn database_shape() {
    assert_snapshot!("database", json(&database()));
}

#[test]
fn operation_shape() {
    assert_snapshot!("operation", json(&operation()));
}

#[test]
fn event_shape() {
    let detail = serde_json::json!({"cause": "client", "phases": {"spawn_us": 900}});
    let event =
        EndpointEvent { id: 7, at: at(9), kind: "woke".into(), detail: detail.as_object().unwrap().clone() };
    assert_snapshot!("events", json(&Events { events: vec![event] }));
}

#[test]
fn api_key_shape() {
    let key = ApiKey {
        id: "key-calm-oak-abcd2345".parse().unwrap(),
        name: "ci".into(),
        created_at: at(5),
        last_used_at: Some(at(8)),
        prefix: "dm_AbCd".into(),
        project_id: Some(project().id),
        created_by: api_key::KeyMaker { id: user::LOGIN.into(), name: "local".into(), image: String::new() },
        last_used_from_addr: "192.0.2.7".into(),
    };
    assert_snapshot!("api_keys", json(&vec![key.clone()]));
    let created = ApiKeyCreated {
        id: key.id,
        name: key.name,
        created_at: key.created_at,
        prefix: key.prefix,
        project_id: key.project_id,
        key: Secret::new("dm_AbCd0123".into()),
    };
    assert_snapshot!("api_key_created", json(&created));
}

#[test]
fn created_project_shape() {
    let created = CreatedProject {
        project: project(),
        branch: branch(),
        endpoints: vec![endpoint()],
        roles: vec![role(Some("s3cret"))],
        databases: vec![database()],
        operations: vec![operation()],
        connection_uris: vec![uri()],
    };
    let text = json(&created);
    let keys: Vec<&str> =
        text.lines().filter_map(|l| l.strip_prefix("  \"")).filter_map(|l| l.split('"').next()).collect();
    assert_snapshot!(
        keys.join(" "),
        @"project branch endpoints roles databases operations connection_uris"
    );
    assert_snapshot!("connection_uri", json(&created.connection_uris));
}

#[test]
fn status_shape() {
    let endpoint = endpoint();
    let status = Status {
        version: "0.1.0".into(),
        endpoints: vec![StatusEndpoint {
            id: endpoint.id,
            project_id: endpoint.project_id,
            branch_id: Some(endpoint.branch_id),
            branch: "main".into(),
            state: LiveState::Paused,
            pid: Some(4711),
            pg_version: 18,
            host: endpoint.host,
            last_active: endpoint.live.last_active,
        }],
    };
    assert_snapshot!("status", json(&status));
}

#[test]
fn user_and_error_shapes() {
    let user = User {
        id: "local".into(),
        email: String::new(),
        login: user::LOGIN.into(),
        name: "Local user".into(),
        last_name: String::new(),
        image: String::new(),
        projects_limit: 1000,
        branches_limit: 5000,
        max_autoscaling_limit: 0.0,
        active_seconds_limit: 0,
        auth_accounts: Vec::new(),
        plan: user::PLAN.into(),
    };
    assert_snapshot!("user", json(&user));
    let error = ErrorBody {
        message: "there is no project `shop`".into(),
        code: "project-not-found".into(),
        hint: Some("List them with `dormouse project list`.".into()),
        request_id: "r-1".into(),
    };
    assert_snapshot!("error", json(&error));
    let bare: ErrorBody = serde_json::from_str(r#"{"message":"no"}"#).unwrap();
    assert_eq!((bare.code.as_str(), bare.hint, bare.request_id.as_str()), ("", None, ""));
}

#[test]
fn server_file_shape() {
    let file = ServerFile {
        api: "http://127.0.0.1:5480/api/v2".into(),
        api_key: Secret::new("dm_AbCd0123".into()),
        pid: 123,
    };
    assert_snapshot!("server_file", json(&file));
    assert!(!format!("{file:?}").contains("dm_"));
}

#[test]
fn statistics_shape() {
    let point = statistics::Datapoint {
        timestamp: at(0),
        sample_count: 60,
        average: Some(12.5),
        minimum: None,
        maximum: Some(80.0),
        sum: None,
        p50: None,
        p95: Some(71.25),
        p99: None,
    };
    let series = statistics::Series {
        metric: statistics::Metric::CpuUtilization,
        unit: statistics::Unit::Percent,
        endpoint_id: Some("ep-quiet-meadow-k3v9x2ab".parse().unwrap()),
        project_id: Some("quiet-meadow-k3v9x2ab".parse().unwrap()),
        datapoints: vec![point],
    };
    let all = statistics::Statistics { from: at(0), to: at(30), period: 60, series: vec![series] };
    assert_snapshot!("statistics", json(&all));
    for metric in statistics::Metric::ALL {
        let text = serde_json::to_string(&metric).unwrap();
        assert_eq!(text, format!("\"{}\"", metric.name()));
        assert_eq!(statistics::Metric::named(metric.name()), Some(metric));
    }
    for statistic in statistics::Statistic::ALL {
        assert_eq!(serde_json::to_string(&statistic).unwrap(), format!("\"{}\"", statistic.name()));
    }
}

#[test]
fn alert_shapes() {
    let scope =
        alert::Scope { project_id: None, endpoint_id: Some("ep-quiet-meadow-k3v9x2ab".parse().unwrap()) };
    let one = alert::Alert {
        rule_id: "rule-cpu".parse().unwrap(),
        name: "CPU".into(),
        metric: statistics::Metric::CpuUtilization,
        unit: statistics::Unit::Percent,
        scope: scope.clone(),
        state: alert::AlertState::Critical,
        value: Some(91.0),
        threshold: Some(85.0),
        since: at(1),
    };
    let change = alert::Change {
        id: 7,
        at: at(1),
        rule_id: one.rule_id.clone(),
        name: one.name.clone(),
        metric: one.metric,
        scope,
        from: alert::AlertState::NoData,
        to: alert::AlertState::Critical,
        value: Some(91.0),
    };
    assert_snapshot!("alerts", json(&alert::Alerts { alerts: vec![one], history: vec![change] }));
    // `null` takes a threshold away, and what is not there leaves it.
    let read = |text: &str| serde_json::from_str::<alert::UpdateRule>(text).unwrap();
    assert_eq!(read(r#"{"warning": null}"#).warning, Some(None));
    assert_eq!(read(r#"{"warning": 5}"#).warning, Some(Some(5.0)));
    assert_eq!(read("{}").warning, None);
    assert_eq!(serde_json::to_string(&read(r#"{"critical": null}"#)).unwrap(), r#"{"critical":null}"#);
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let shown = format!("{:?} {:?}", role(Some("s3cret")), uri());
    assert!(!shown.contains("s3cret"), "{shown}");
}
