//! Client certificates: in the place of the password, or before anything else.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use dormouse_tests::Server;
use dormouse_tests::programs::{psql, python};

const WHO: [&str; 2] = ["-c", "select current_user"];

/// An authority and what it signed, made with openssl.
struct Authority {
    dir: tempfile::TempDir,
}

fn openssl(dir: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let made = command.args(arguments.split(' ')).current_dir(dir).stderr(Stdio::null()).status();
    assert!(made.unwrap().success(), "openssl {arguments}");
}

impl Authority {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
        openssl(dir.path(), &format!("{new} -subj /CN=test-ca -keyout ca.key -out ca.crt"));
        Self { dir }
    }

    fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// The libpq options that show a certificate for this common name.
    fn sign(&self, name: &str, days: &str) -> String {
        let (dir, file) = (self.dir.path(), format!("{name}{days}"));
        let new = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(dir, &format!("{new} -subj /O=app_owner/CN={name} -keyout {file}.key -out {file}.csr"));
        std::fs::write(dir.join("v3"), "extendedKeyUsage=clientAuth,serverAuth\n").unwrap();
        let sign = "x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -extfile v3";
        openssl(dir, &format!("{sign} -days {days} -in {file}.csr -out {file}.crt"));
        let at = |end| dir.join(format!("{file}.{end}")).display().to_string();
        format!("sslcert={} sslkey={}", at("crt"), at("key"))
    }
}

#[tokio::test]
async fn a_certificate_is_as_good_as_a_password() {
    let authority = Authority::new();
    let ca = authority.ca();
    let server = Server::start(&["--tls-client-ca", ca.to_str().unwrap(), "--tls-client-map", "web=reports"]);
    let owner = server.login("app_owner", &server.password()).await.unwrap();
    owner.batch_execute("create role reports login; create role nologin").await.unwrap();
    let said = |certificate: &str, rest: &str, password: &str| {
        psql(&server.conninfo(&format!("{certificate} {rest}")), password, &WHO)
    };
    let (own, web) = (authority.sign("app_owner", "2"), authority.sign("web", "2"));
    assert_eq!(said(&own, "", "").good(), "app_owner");
    assert_eq!(said(&own, "ssl_max_protocol_version=TLSv1.2", "").good(), "app_owner");
    assert_eq!(said(&web, "user=reports", "").good(), "reports", "a mapped name, a role without password");
    // A certificate for somebody else is none; then the password counts, with channel binding as ever.
    assert!(said(&own, "user=reports", "").bad().contains("password"));
    assert_eq!(said(&web, "channel_binding=require", &server.password()).good(), "app_owner");
    assert!(said(&web, "", "wrong").bad().contains("password authentication failed"));
    assert_eq!(said("sslcert=/nowhere", "", &server.password()).good(), "app_owner");
    // Roles that may not log in, or do not exist, may not do so with a certificate either.
    let nologin = authority.sign("nologin", "2");
    assert!(said(&nologin, "user=nologin", "").bad().contains("not permitted to log in"));
    for nobody in ["nobody_here", "dormouse_admin"] {
        let certificate = authority.sign(nobody, "2");
        let error = said(&certificate, &format!("user={nobody}"), "").bad();
        assert!(error.contains("does not exist"), "{error}");
    }
    // Another authority's, and one that is over, do not even get through the handshake.
    let error = said(&Authority::new().sign("app_owner", "2"), "", &server.password()).bad();
    assert!(error.contains("alert") || error.contains("closed") || error.contains("SSL"), "{error}");
    let error = said(&authority.sign("app_owner", "-1"), "", &server.password()).bad();
    assert!(error.contains("alert") || error.contains("closed") || error.contains("SSL"), "{error}");
    // A sleeping database is woken by it.
    assert_eq!(server.act(&server.default_project(), "suspend").0, 200);
    let program = "import os, psycopg\n\
        print(psycopg.connect(os.environ['DSN']).execute('select current_user').fetchone()[0])";
    assert_eq!(python(program, &[("DSN", &server.conninfo(&own))]).good(), "app_owner");
    server.assert_clean_log(&[]);
}

#[test]
fn a_certificate_can_be_required_and_the_files_replaced() {
    let authority = Authority::new();
    let files = tempfile::tempdir().unwrap();
    let ca = files.path().join("ca.crt");
    std::fs::copy(authority.ca(), &ca).unwrap();
    let server = Server::start(&["--tls-client-ca", ca.to_str().unwrap(), "--tls-client-cert", "required"]);
    let said = |rest: &str, password: &str| psql(&server.conninfo(rest), password, &WHO);
    let own = authority.sign("app_owner", "2");
    let nobody = "sslcert=/nowhere";
    for rest in [nobody.to_owned(), format!("{nobody} sslmode=disable")] {
        let error = said(&rest, &server.password()).bad();
        assert!(error.contains("asks every client for a certificate"), "{rest}: {error}");
    }
    let error = said(&authority.sign("web", "2"), &server.password()).bad();
    assert!(error.contains("certificate authentication failed") && error.contains("\"web\""), "{error}");
    assert_eq!(server.state(), "stopped");
    assert_eq!(said(&own, "").good(), "app_owner");

    // What cannot be used changes nothing.
    std::fs::write(&ca, "not pem").unwrap();
    server.until_true("the broken file is seen", || server.log().contains("cannot be used; the old ones"));
    assert_eq!(said(&own, "").good(), "app_owner");
    // Another authority takes over, and the old one's certificates end.
    let other = Authority::new();
    std::fs::copy(other.ca(), &ca).unwrap();
    server.until_true("the new file is seen", || server.log().contains("new connections use them"));
    let new = other.sign("app_owner", "2");
    assert_eq!(said(&new, "").good(), "app_owner");
    said(&own, "").bad();
    // The server's own certificate, too.
    let tls = server.certificate();
    let copy = |from: &str, to: PathBuf| std::fs::copy(other.dir.path().join(from), to).unwrap();
    copy("app_owner2.key", tls.with_extension("key"));
    copy("app_owner2.crt", tls.clone());
    server.until_true("the new certificate is shown", || {
        let rest = format!("{new} sslmode=verify-ca sslrootcert={}", other.ca().display());
        std::thread::sleep(Duration::from_millis(200));
        psql(&server.conninfo(&rest), "", &WHO).ok
    });
    server.assert_clean_log(&["cannot be used; the old ones"]);
}
