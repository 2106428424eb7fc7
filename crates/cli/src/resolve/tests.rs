//! Choosing what is meant, without a server.

use dormouse_api::branch::{BranchPast, BranchSizes, BranchState};
use dormouse_api::project::{EndpointDefaults, ProjectSettings};

use super::*;

fn project(id: &str, name: &str) -> Project {
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    Project {
        id: id.parse().unwrap(),
        name: name.into(),
        pg_version: 18,
        region_id: "local".into(),
        platform_id: "dormouse".into(),
        provisioner: String::new(),
        creation_source: String::new(),
        owner_id: String::new(),
        created_at: at,
        updated_at: at,
        store_passwords: true,
        proxy_host: "localhost".into(),
        history_retention_seconds: 0,
        default_endpoint_settings: EndpointDefaults {
            suspend_timeout_seconds: 0,
            autoscaling_limit_min_cu: 0.25,
            autoscaling_limit_max_cu: 1.0,
            pause_timeout_seconds: 0,
        },
        settings: ProjectSettings::default(),
        default_branch_id: None,
        used: dormouse_api::used::ProjectUsed::default(),
    }
}

fn branch(id: &str, name: &str, default: bool) -> Branch {
    let project = project("p-1", "x");
    Branch {
        id: id.parse().unwrap(),
        project_id: project.id,
        name: name.into(),
        current_state: BranchState::Ready,
        pending_state: None,
        parent_id: None,
        parent_lsn: None,
        parent_timestamp: None,
        default,
        protected: false,
        primary: default,
        created_at: project.created_at,
        updated_at: project.created_at,
        creation_source: "dormouse".into(),
        expires_at: None,
        ttl_interval_seconds: None,
        past: BranchPast::default(),
        used: dormouse_api::used::Used::default(),
        sizes: BranchSizes::default(),
        history: None,
    }
}

fn chosen(projects: &[Project], given: Option<&str>) -> Result<String, String> {
    choose_project(projects, given).map(|p| p.id.to_string()).map_err(|error| error.report().to_string())
}

#[test]
fn the_obvious_project() {
    let (shop, default, blog) = (project("p-1", "shop"), project("p-2", "default"), project("p-3", "blog"));
    assert_eq!(chosen(std::slice::from_ref(&shop), None).unwrap(), "p-1");
    assert_eq!(chosen(&[shop.clone(), default], None).unwrap(), "p-2");
    insta::assert_snapshot!(chosen(&[shop, blog], None).unwrap_err(), @r"
    error: there are several projects, and none is named `default`
    hint: Say which with `--project`: shop, blog.
    ");
    insta::assert_snapshot!(chosen(&[], None).unwrap_err(), @r"
    error: there is no project yet
    hint: Make one with `dormouse project create`.
    ");
}

#[test]
fn a_project_by_id_or_name() {
    let projects = [project("p-1", "shop"), project("p-2", "p-1"), project("p-3", "shop")];
    assert_eq!(chosen(&projects, Some("p-1")).unwrap(), "p-1", "an ID goes before a name");
    assert_eq!(chosen(&projects, Some("p-3")).unwrap(), "p-3");
    insta::assert_snapshot!(chosen(&projects, Some("shop")).unwrap_err(), @r"
    error: 2 projects are named `shop`
    hint: Use one of their IDs: p-1, p-3.
    ");
    insta::assert_snapshot!(chosen(&projects, Some("nope")).unwrap_err(), @r"
    error: there is no project `nope`
    hint: There are: shop, p-1, shop. See `dormouse project list`.
    ");
}

#[test]
fn a_branch_by_id_or_name_or_default() {
    let p = project("p-1", "shop");
    let branches = [branch("br-a-a-a", "main", true), branch("br-b-b-b", "feature/x", false)];
    let id = |given| choose_branch(&branches, &p, given).map(|b| b.id.to_string());
    assert_eq!(id(None).unwrap(), "br-a-a-a");
    assert_eq!(id(Some("feature/x")).unwrap(), "br-b-b-b");
    assert_eq!(id(Some("br-b-b-b")).unwrap(), "br-b-b-b");
    insta::assert_snapshot!(id(Some("nope")).unwrap_err().report(), @r"
    error: there is no branch `nope` in project `shop`
    hint: There are: main, feature/x. See `dormouse branch list --project p-1`.
    ");
}

#[test]
fn a_slash_separates_only_after_a_project() {
    let projects = [project("p-1", "shop")];
    assert_eq!(split(&projects, None, Some("shop/main")), (Some("shop"), Some("main")));
    assert_eq!(split(&projects, None, Some("p-1/feature/x")), (Some("p-1"), Some("feature/x")));
    assert_eq!(split(&projects, None, Some("feature/x")), (None, Some("feature/x")));
    assert_eq!(split(&projects, Some("shop"), Some("shop/main")), (Some("shop"), Some("shop/main")));
}

#[test]
fn long_lists_are_cut() {
    let names: Vec<String> = (0..12).map(|n| n.to_string()).collect();
    assert_eq!(listed(names.iter().map(String::as_str)), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
}
