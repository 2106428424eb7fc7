//! Login tokens in the place of passwords, with real clients.

use std::time::Duration;

use dormouse_tests::programs::{Said, psql, python};
use dormouse_tests::{Project, Server};
use serde_json::json;

use crate::drivers::drive;

/// Prints a token; `words` go to `dormouse auth token`.
fn token(server: &Server, words: &[&str]) -> String {
    let said = server.cli(&[&["auth", "token"], words].concat());
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// A login over TLS with a token.
fn login(server: &Server, rest: &str, token: &str) -> Said {
    psql(&server.conninfo(rest), token, &["-c", "select current_user"])
}

fn refused(server: &Server, rest: &str, token: &str, words: &[&str]) {
    let error = login(server, rest, token).bad();
    for word in words {
        assert!(error.contains(word), "{rest}: `{word}` is not in: {error}");
    }
}

const WRONG: &str = "password authentication failed";
/// How to say that a token comes, in `options`.
const SIGN: &str = "options=auth=token";

#[tokio::test]
async fn in_the_place_of_a_password() {
    let server = Server::start(&[]);
    let project = server.default_project();
    let one = token(&server, &[]);
    assert!(!server.log().contains(&one));
    // With a sign and without one; the endpoint by server name and by option.
    let by_name = format!("host={}.localhost", project.endpoint);
    let by_option = format!("options='auth=token endpoint={}'", project.endpoint);
    for rest in ["", SIGN, by_name.as_str(), by_option.as_str(), "ssl_max_protocol_version=TLSv1.2"] {
        assert_eq!(login(&server, rest, &one).good(), "app_owner", "{rest}");
    }
    // The password goes on to work as it did, with channel binding, and a wrong one is wrong.
    assert_eq!(login(&server, "channel_binding=require", &server.password()).good(), "app_owner");
    refused(&server, "", "wrong", &[WRONG]);
    // A client that insists on SCRAM is not asked in the clear, and nobody is without TLS.
    refused(&server, "channel_binding=require", &one, &["channel binding"]);
    refused(&server, "sslmode=disable", &one, &[WRONG]);
    refused(&server, &format!("sslmode=disable {SIGN}"), &one, &["over TLS only", "sslmode=require"]);
    refused(&server, "options=auth=magic", &one, &["auth=token"]);
    refused(&server, SIGN, &server.password(), &[WRONG]);
    let longest = format!("{one}{}", "x".repeat(60_000));
    refused(&server, SIGN, &longest, &[WRONG]);

    // Asleep, a good one wakes and a bad one does not.
    assert_eq!(server.act(&project, "suspend").0, 200);
    let mut forged = one.clone().into_bytes();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    for rest in [SIGN, by_name.as_str()] {
        refused(&server, rest, &forged, &[WRONG]);
    }
    assert_eq!(server.state_of(&project), "stopped");
    assert_eq!(login(&server, &by_name, &one).good(), "app_owner");
    server.assert_clean_log(&[]);
}

#[tokio::test]
async fn it_ends_by_itself_and_by_a_new_key() {
    let server = Server::start(&[]);
    let project = server.default_project();
    let by_name = format!("host={}.localhost", project.endpoint);
    let short = token(&server, &["--expires", "1s"]);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let expired = ["the login token expired at", "dormouse auth token", "docs/errors/token-expired.md"];
    // Whoever comes with an old token again and again is not guessing.
    for _ in 0..12 {
        refused(&server, SIGN, &short, &expired);
    }
    refused(&server, &by_name, &short, &expired);
    assert_eq!(server.state_of(&project), "stopped");

    let (one, all) = (token(&server, &[]), token(&server, &["--expires", "1h"]));
    assert_eq!(login(&server, &by_name, &one).good(), "app_owner");
    server.cli_json(&["auth", "rotate-key", "--yes"]);
    for old in [&one, &all] {
        refused(&server, SIGN, old, &["not in use any more", "dormouse auth token"]);
    }
    assert_eq!(login(&server, &by_name, &token(&server, &[])).good(), "app_owner");
    for expires in ["0", "61m", "-1"] {
        assert!(
            !server.cli(&["auth", "token", &format!("--expires={expires}")]).status.success(),
            "{expires}"
        );
    }
    let mode = std::os::unix::fs::MetadataExt::mode(&server.data().join("token.key").metadata().unwrap());
    assert_eq!(mode & 0o077, 0);
}

#[tokio::test]
async fn it_is_for_one_role_in_one_place() {
    let server = Server::start(&[]);
    let owner = server.login("app_owner", &server.password()).await.unwrap();
    owner.batch_execute("create role reader login; create role group_only").await.unwrap();
    owner.batch_execute("create database other").await.unwrap();
    let second: Project = server.create_project(&json!({"branch": {"database_name": "app"}}));

    // A role without any password has its tokens.
    let reader = token(&server, &["--role", "reader"]);
    assert_eq!(login(&server, "user=reader", &reader).good(), "reader");
    refused(&server, SIGN, &reader, &["the login token is not for user \"app_owner\""]);
    let bound = token(&server, &["--database", "app"]);
    assert_eq!(login(&server, SIGN, &bound).good(), "app_owner");
    refused(&server, &format!("{SIGN} dbname=other"), &bound, &["for database \"app\" only"]);
    let there = format!("host={}.localhost {SIGN}", second.endpoint);
    refused(&server, &there, &token(&server, &[]), &["for another project, branch or endpoint"]);
    let own = token(&server, &["--endpoint", &second.endpoint]);
    assert_eq!(login(&server, &there, &own).good(), "app_owner");
    // The endpoint in the password goes together with a token.
    assert_eq!(login(&server, "", &format!("endpoint={};{own}", second.endpoint)).good(), "app_owner");

    let path = format!("/projects/{}/auth/token", server.default_project().id);
    let ask = |role: &str| server.api("POST", &path, &json!({"token": {"role_name": role}}));
    assert_eq!(ask("nobody_here").0, 404);
    assert_eq!(ask("dormouse_admin").0, 404);
    assert_eq!((ask("group_only").0, ask("group_only").1["code"].as_str()), (409, Some("role-cannot-login")));
    assert_eq!(server.api_as("dm_wrong", "POST", &path, &json!({"token": {"role_name": "reader"}})).0, 401);
    let (status, made) = ask("reader");
    assert_eq!((status, made["role_name"].as_str()), (201, Some("reader")));

    // What happened to the role since counts.
    owner.batch_execute("alter role reader nologin").await.unwrap();
    refused(&server, &format!("user=reader {SIGN}"), &reader, &["not permitted to log in"]);
    owner.batch_execute("drop role reader").await.unwrap();
    refused(&server, &format!("user=reader {SIGN}"), &reader, &["role \"reader\" does not exist"]);
    server.assert_clean_log(&[]);
}

const CROWD: &str = "import os, psycopg
from concurrent.futures import ThreadPoolExecutor
def one(_):
    with psycopg.connect(os.environ['DSN']) as c:
        return c.execute('select current_user').fetchone()[0]
with ThreadPoolExecutor(40) as pool:
    print(len(list(pool.map(one, range(40)))))
";

#[test]
fn every_driver_and_many_at_once() {
    let server = Server::start(&[]);
    let one = token(&server, &[]);
    let port = server.pg_port();
    for end in ["", "&options=auth%3Dtoken"] {
        let dsn = format!("postgresql://app_owner:{one}@127.0.0.1:{port}/app?sslmode=require{end}");
        for driver in ["psycopg", "asyncpg", "pg", "jdbc"] {
            let said = drive(driver, "whoami", &dsn, &[]).good();
            assert!(said.contains("\"app_owner\""), "{driver}{end}: {said}");
        }
    }
    let dsn = format!("{} password={one}", server.conninfo(SIGN));
    assert_eq!(python(CROWD, &[("DSN", &dsn)]).good(), "40");
    server.assert_clean_log(&[]);
}

/// Fails SCRAM with one secret and shows another, twelve times; prints what it was told each time.
const GUESSES: &str = "import os, socket, ssl, struct
from scramp import ScramClient
def send(s, tag, body):
    s.sendall(tag + struct.pack('!I', len(body) + 4) + body)
def exactly(s, n):
    got = b''
    while len(got) < n:
        got += s.recv(n - len(got)) or os._exit(1)
    return got
def read(s):
    tag, length = struct.unpack('!cI', exactly(s, 5))
    return tag, exactly(s, length - 4)
def one(guess, shown):
    raw = socket.create_connection(('127.0.0.1', int(os.environ['PORT'])))
    raw.sendall(struct.pack('!II', 8, 80877103))
    assert raw.recv(1) == b'S'
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    s = context.wrap_socket(raw, server_hostname='localhost')
    send(s, b'', b'\\0\\3\\0\\0user\\0app_owner\\0database\\0app\\0\\0')
    scram = ScramClient(['SCRAM-SHA-256'], 'x', guess)
    while True:
        tag, body = read(s)
        if tag == b'E':
            return 'slow down' if b'too many failed logins' in body else 'no'
        kind = struct.unpack('!I', body[:4])[0] if tag == b'R' else 0
        if kind == 10:
            first = scram.get_client_first().replace('y,', 'n,', 1).encode()
            send(s, b'p', b'SCRAM-SHA-256\\0' + struct.pack('!I', len(first)) + first)
        elif kind == 11:
            scram.set_server_first(body[4:].decode())
            send(s, b'p', scram.get_client_final().encode())
        elif kind == 3:
            send(s, b'p', shown.encode() + b'\\0')
        elif kind == 0:
            return 'in'
print(','.join(one(os.environ['GUESS'], os.environ['SHOWN']) for _ in range(12)))
";

#[tokio::test]
async fn a_token_does_not_pay_for_guesses() {
    let server = Server::start(&[]);
    let owner = server.login("app_owner", &server.password()).await.unwrap();
    owner.batch_execute("create role reader login").await.unwrap();
    let reader = token(&server, &["--role", "reader"]);
    let port = server.pg_port().to_string();
    let twelve =
        |guess: &str| python(GUESSES, &[("PORT", &port), ("GUESS", guess), ("SHOWN", &reader)]).good();
    // Who has nothing but the token of another role shows what SCRAM was asked with.
    assert_eq!(twelve(&reader), ["no"; 12].join(","));
    // A guess is one, whatever is shown after it.
    let told = twelve("letmein");
    assert!(told.starts_with("no,no") && told.ends_with("slow down"), "{told}");
    refused(&server, "", "wrong", &["too many failed logins"]);
    server.assert_clean_log(&[]);
}
