//! Single messages that no client sends.

use std::time::Duration;

use dormouse_tests::Server;
use dormouse_tests::raw::{PROTOCOL_3_0, Raw, prefixed, startup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Witness;

/// Whoever sends this must be closed at once, not only at the end of the time for a login.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The first byte of a TLS alert record.
const TLS_ALERT: u8 = 0x15;

const SSL_REQUEST: u32 = 1234 << 16 | 5679;

#[tokio::test]
async fn what_no_client_sends() {
    let server = Server::start(&[]);
    garbage_is_closed_at_once(&server).await;
    other_protocols_on_the_wrong_port(&server).await;
    garbage_after_the_login(&server).await;
}

async fn garbage_is_closed_at_once(server: &Server) {
    let witness = Witness::new(server).await;
    let port = server.pg_port();
    let user = [("user", "app_owner"), ("database", "app")];
    let many: Vec<(String, String)> = (0..300).map(|n| (format!("p{n}"), "x".to_owned())).collect();
    let mut many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    many.extend(user);
    let long = "x".repeat(9_000);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("noise", vec![0xff; 64]),
        ("zeros", vec![0; 64]),
        ("text", b"hello there, is this SMTP?\r\n".to_vec()),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("length 0", 0u32.to_be_bytes().to_vec()),
        ("length 4, no version", prefixed(b"")),
        ("length 7", prefixed(b"\0\x03\0")),
        ("length of 2 GiB", [&0x7fff_ffffu32.to_be_bytes()[..], &PROTOCOL_3_0.to_be_bytes()].concat()),
        ("negative length", [&0xffff_fff0u32.to_be_bytes()[..], &PROTOCOL_3_0.to_be_bytes()].concat()),
        ("length just over the limit", [&10_005u32.to_be_bytes()[..], &PROTOCOL_3_0.to_be_bytes()].concat()),
        ("version 4", startup(4 << 16, &user)),
        ("version 9.9", startup(9 << 16 | 9, &user)),
        ("no user", startup(PROTOCOL_3_0, &[("database", "app")])),
        ("an empty user", startup(PROTOCOL_3_0, &[("user", ""), ("database", "app")])),
        ("no parameters", startup(PROTOCOL_3_0, &[])),
        ("300 parameters", startup(PROTOCOL_3_0, &many)),
        ("no last NUL", prefixed(&[&PROTOCOL_3_0.to_be_bytes()[..], b"user\0app_owner"].concat())),
        (
            "bytes after the last NUL",
            prefixed(&[&PROTOCOL_3_0.to_be_bytes()[..], b"user\0app_owner\0\0junk"].concat()),
        ),
        (
            "a name without a value",
            prefixed(&[&PROTOCOL_3_0.to_be_bytes()[..], b"user\0app_owner\0database\0"].concat()),
        ),
        (
            "not UTF-8",
            prefixed(&[&PROTOCOL_3_0.to_be_bytes()[..], b"user\0\xff\xfe\0database\0app\0\0"].concat()),
        ),
        (
            "a long branch",
            startup(PROTOCOL_3_0, &[("user", "app_owner"), ("database", &format!("app@{long}"))]),
        ),
        ("a short cancel", prefixed(&(1234u32 << 16 | 5678).to_be_bytes())),
        ("a long cancel", prefixed(&[&(1234u32 << 16 | 5678).to_be_bytes()[..], &[7; 400]].concat())),
        (
            "TLS half asked",
            [&prefixed(&SSL_REQUEST.to_be_bytes())[..], &startup(PROTOCOL_3_0, &user)].concat(),
        ),
        ("TLS twice in one packet", prefixed(&SSL_REQUEST.to_be_bytes()).repeat(2)),
        ("a TLS record of garbage", [&[0x16, 3, 1, 0, 50][..], &[0; 50]].concat()),
        ("a TLS record that is too long", vec![0x16, 3, 1, 0xff, 0xff, 1, 1, 1]),
        ("TLS asked for, then garbage", [&prefixed(&SSL_REQUEST.to_be_bytes())[..], &[0x55; 100]].concat()),
        ("a query instead of a login", b"Q\0\0\0\x0eselect 1;\0".to_vec()),
    ];
    for (what, bytes) in cases {
        let mut raw = Raw::open(port).await;
        raw.send(&bytes).await;
        let answer = raw.rest(AT_ONCE).await;
        // An error of PostgreSQL's or of TLS (an alert), or nothing at all; never a request for a password, and never a yes to TLS that
        // was followed by bytes in the clear.
        assert!(answer.is_empty() || answer[0] == b'E' || answer[0] == TLS_ALERT, "{what}: {answer:?}");
    }
    // The role of this name has at most 63 bytes in PostgreSQL; what is longer does not exist.
    let mut raw = Raw::open(port).await;
    let error = raw.login(&startup(PROTOCOL_3_0, &[("user", &long), ("database", "app")]), "x").await;
    assert_eq!(error.unwrap_err().fields.code(), "28P01");
    witness.is_well(server).await;
    server.assert_clean_log(&[]);
}

async fn other_protocols_on_the_wrong_port(server: &Server) {
    let witness = Witness::new(server).await;
    for request in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /sql HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.0\r\n\r\n",
    ] {
        let mut raw = Raw::open(server.pg_port()).await;
        raw.send(request.as_bytes()).await;
        let answer = String::from_utf8(raw.rest(AT_ONCE).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{request}: {answer}");
        assert!(answer.contains("PostgreSQL port"), "{answer}");
    }
    // The other way round: TLS, and PostgreSQL, to the HTTP port.
    let api = server.ready()["api"].as_str().unwrap();
    let address = api.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[9; 501]].concat();
    for bytes in
        [hello, startup(PROTOCOL_3_0, &[("user", "app_owner")]), prefixed(&SSL_REQUEST.to_be_bytes())]
    {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(AT_ONCE, stream.read_to_end(&mut answer)).await;
        let _reset = read.expect("the HTTP port closes it");
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    }
    let (status, _) = server.api("GET", "/status", &serde_json::Value::Null);
    assert_eq!(status, 200);
    witness.is_well(server).await;
    server.assert_clean_log(&[]);
}

/// After the login the proxy passes everything on; what is wrong there, PostgreSQL says.
async fn garbage_after_the_login(server: &Server) {
    let witness = Witness::new(server).await;
    let packet = startup(PROTOCOL_3_0, &[("user", "app_owner"), ("database", "app")]);
    for bytes in [
        vec![0xff; 64],
        vec![0; 64],
        b"Q\xff\xff\xff\xff".to_vec(),
        b"Q\0\0\0\0".to_vec(),
        b"p\0\0\0\x08what".to_vec(),
        b"d\0\0\0\x04B\0\0\0\x04".to_vec(),
        packet.clone(),
    ] {
        let mut raw = Raw::open(server.pg_port()).await;
        raw.login(&packet, &server.password()).await.unwrap();
        raw.send(&bytes).await;
        raw.send(b"X\0\0\0\x04").await;
        raw.stream.shutdown().await.unwrap();
        raw.rest(Duration::from_secs(15)).await;
        witness.is_well(server).await;
    }
    server.assert_clean_log(&[]);
}
