use std::fs;

use super::*;
use crate::error::Class;

fn planned(uri: &str, resolves: bool) -> Plan {
    plan(&Secret::new(uri.to_owned()), |_, _| resolves).unwrap()
}

#[test]
fn the_password_is_not_among_the_arguments() {
    let plan = planned("postgresql://app_owner:p%40ss%2Fw@ep-x.localhost:5455/app?sslmode=require", true);
    assert_eq!(plan.connection, "postgresql://app_owner@ep-x.localhost:5455/app?sslmode=require");
    assert_eq!(plan.password.unwrap().expose(), "p@ss/w");
    assert!(!plan.needs_loopback);
}

#[test]
fn a_local_name_is_reached_without_a_resolver() {
    assert!(planned("postgresql://r:p@ep-x.localhost:5455/app", false).needs_loopback);
    assert!(!planned("postgresql://r:p@db.example.com:5455/app", false).needs_loopback);
    assert!(!planned("postgresql://r:p@localhost:5455/app", false).needs_loopback);
}

#[test]
fn a_bad_uri_is_not_shown() {
    let error = plan(&Secret::new("postgresql:s3cret".to_owned()), |_, _| true).unwrap_err();
    assert!(!error.report().to_string().contains("s3cret"));
}

#[test]
fn psql_is_found_on_the_path_only_when_it_can_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("psql");
    fs::write(&file, "#!/bin/sh\n").unwrap();
    let path = Some(dir.path().as_os_str());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    if crate::serve::psql_of_installation().is_none() {
        assert_eq!(find_program(path).unwrap_err().class(), Class::Failed);
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(find_program(path).unwrap(), file);
}
