use super::*;

fn finding(level: Level, what: &str, advice: Option<&str>) -> Finding {
    Finding { area: "postgresql".into(), level, what: what.into(), advice: advice.map(str::to_owned) }
}

#[test]
fn advice_stands_below_its_finding() {
    let findings = [
        finding(Level::Ok, "18.1 in /usr/lib/postgresql/18", None),
        finding(Level::Warn, "no cgroup is writable", Some("Run the server as root.")),
        finding(Level::Fail, "nothing found", Some("Install PostgreSQL.")),
    ];
    insta::assert_snapshot!(table(&findings), @r"
          AREA        FINDING
    ok    postgresql  18.1 in /usr/lib/postgresql/18
    warn  postgresql  no cgroup is writable
                      → Run the server as root.
    FAIL  postgresql  nothing found
                      → Install PostgreSQL.
    ");
}

#[test]
fn only_a_fail_fails() {
    assert!(verdict(&[finding(Level::Warn, "x", None)]).is_ok());
    let error = verdict(&[finding(Level::Fail, "x", None), finding(Level::Ok, "y", None)]).unwrap_err();
    assert_eq!(error.class().status(), 1);
}
