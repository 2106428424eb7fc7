//! Certificates of servers that PgBouncer, which uses OpenSSL, takes: `dormouse pool` must take them, too, and no others.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::pool_ini::{Pooler, server};

/// How a new key is made.
const KEY: [&str; 6] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-batch"];

fn openssl(dir: &Path, arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// What PostgreSQL's documentation makes: a certificate that is its own authority, and has a common name only.
fn by_itself(dir: &Path, name: &str) {
    let subject = format!("/CN={name}");
    let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
    let out = ["-keyout", &key, "-out", &certificate];
    openssl(dir, &[&["req", "-new", "-x509", "-days", "2", "-subj", &subject][..], &KEY, &out].concat());
}

/// One of an authority `ca`, of version 3, with a common name only.
fn by_authority(dir: &Path) {
    let out = ["-keyout", "leaf.key", "-out", "leaf.csr"];
    openssl(dir, &[&["req", "-new", "-subj", "/CN=localhost"][..], &KEY, &out].concat());
    std::fs::write(dir.join("ext"), "basicConstraints=CA:FALSE\n").unwrap();
    let sign = [
        "x509",
        "-req",
        "-in",
        "leaf.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
    ];
    openssl(dir, &[&sign[..], &["-extfile", "ext", "-out", "leaf.crt"]].concat());
}

#[test]
fn certificates_that_openssl_takes() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    let dir = pooler.dir.path().to_owned();
    ["localhost", "ca", "other"].into_iter().for_each(|name| by_itself(&dir, name));
    by_authority(&dir);
    let port = foreign.port();
    let databases = format!(
        "name = host=localhost port={port} dbname=postgres\nip = host=127.0.0.1 port={port} dbname=postgres"
    );
    let (good, bad) = (true, false);
    for (certificate, authority, full, by_name, by_address) in [
        ("localhost", Some("localhost"), false, good, good),
        ("localhost", Some("localhost"), true, good, bad),
        ("localhost", Some("other"), false, bad, bad),
        ("leaf", Some("ca"), true, good, bad),
        // The list of the system.
        ("leaf", None, true, good, bad),
        ("localhost", None, false, bad, bad),
    ] {
        foreign.encrypt(&dir.join(format!("{certificate}.crt")), &dir.join(format!("{certificate}.key")));
        let mode = if full { "verify-full" } else { "verify-ca" };
        let named = authority.map(|name| format!("server_tls_ca_file = {}/{name}.crt", dir.display()));
        let settings = format!(
            "auth_type = scram-sha-256\nserver_tls_sslmode = {mode}\nquery_wait_timeout = 1\n{}",
            named.unwrap_or_default()
        );
        pooler.write(&databases, &settings, "\"s\" \"new\"\n");
        let mut command = pooler.command();
        command.env("SSL_CERT_FILE", dir.join("ca.crt"));
        pooler.start_with(command);
        for (database, wanted) in [("name", by_name), ("ip", by_address)] {
            let said = pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", database), "select 1");
            let case = format!("{certificate} of {authority:?}, {mode}, by {database}");
            if wanted {
                assert_eq!(said.good(), "1", "{case}");
            } else {
                let error = said.bad();
                assert!(error.contains("certificate"), "{case}: {error}");
            }
        }
        pooler.signal(Signal::TERM);
        assert!(pooler.ended());
    }
}
