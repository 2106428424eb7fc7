//! The first packet, in all its shapes.

use super::*;
use crate::limit::MAX_STARTUP_PARAMS;
use proptest::prelude::*;

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::encode::sized(&mut out, |b| {
        b.extend_from_slice(&code.to_be_bytes());
        b.extend_from_slice(body);
    });
    out
}

fn session_of(body: &[u8]) -> Result<Params, StartupError> {
    match parse(&packet(3 << 16, body))? {
        (Step::Startup(startup), _) => Ok(startup.params),
        other => panic!("{other:?}"),
    }
}

#[test]
fn recognises_requests() {
    assert_eq!(parse(&packet(SSL, b"")), Ok((Step::Ssl, 8)));
    assert_eq!(encode_ssl_request(), packet(SSL, b""));
    assert_eq!(parse(b"\x00\x00\x00\x08\x04\xd2\x16\x2frest"), Ok((Step::Ssl, 8)));
    assert_eq!(parse(&packet(GSS, b"")), Ok((Step::Gss, 8)));
    assert_eq!(parse(&[0x16]), Ok((Step::DirectTls, 0)));
    assert_eq!(parse(&packet(SSL, b"x")), Err(StartupError::Length { len: 9 }));
}

#[test]
fn asks_for_what_is_missing() {
    assert_eq!(parse(b""), Ok((Step::NeedMore { at_least: 4 }, 0)));
    assert_eq!(parse(&[0, 0]), Ok((Step::NeedMore { at_least: 4 }, 0)));
    assert_eq!(parse(&[0, 0, 0, 20, 0]), Ok((Step::NeedMore { at_least: 20 }, 0)));
}

#[test]
fn lengths_have_postgresqls_limits() {
    assert_eq!(parse(&[0, 0, 0, 7]), Err(StartupError::Length { len: 7 }));
    let longest = u32::try_from(MAX_STARTUP_LEN + 4).unwrap();
    assert_eq!(parse(&longest.to_be_bytes()), Ok((Step::NeedMore { at_least: 10_004 }, 0)));
    assert_eq!(parse(&(longest + 1).to_be_bytes()), Err(StartupError::Length { len: longest + 1 }));
    assert_eq!(parse(&[0xff; 4]), Err(StartupError::Length { len: u32::MAX }));
}

#[test]
fn cancel_keys_are_1_to_256_bytes() {
    for len in [1, 4, 32, 256] {
        let secret = vec![9; len];
        let bytes = encode_cancel(77, &secret);
        assert_eq!(parse(&bytes), Ok((Step::Cancel { pid: 77, secret }, 12 + len)));
    }
    assert_eq!(parse(&encode_cancel(1, &[0; 257])), Err(StartupError::Length { len: 269 }));
    assert_eq!(parse(&encode_cancel(1, &[])), Err(StartupError::Length { len: 12 }));
    assert_eq!(parse(&packet(CANCEL, &[1, 2])), Err(StartupError::Length { len: 10 }));
}

#[test]
fn versions() {
    for (major, minor) in [(2, 0), (4, 0), (0, 0), (1234, 1)] {
        let code = u32::from(major) << 16 | u32::from(minor);
        assert_eq!(parse(&packet(code, b"\0")), Err(StartupError::UnsupportedVersion { major, minor }));
    }
    let Ok((Step::Startup(startup), _)) = parse(&packet(3 << 16 | 9999, b"user\0a\0\0")) else { panic!() };
    assert_eq!(startup.version_minor, 9999);
    let error = StartupError::UnsupportedVersion { major: 2, minor: 0 }.client_error();
    assert_eq!(error.code, SqlState::FEATURE_NOT_SUPPORTED);
}

#[test]
fn http_is_told_apart() {
    for request in
        ["GET / HTTP/1.1", "POST /sql", "PUT /", "DELETE /x", "PRI * HTTP/2.0", "HEAD /", "OPTIONS *"]
    {
        assert_eq!(parse(request.as_bytes()), Err(StartupError::Http), "{request}");
    }
    assert!(matches!(parse(b"GOT "), Err(StartupError::Length { .. })));
}

#[test]
fn who_leaves_at_once_is_told_apart() {
    assert_eq!(parse(b"X\0\0\0\x04"), Err(StartupError::Left));
    assert!(matches!(parse(b"X\0\0\x01\0"), Err(StartupError::Length { .. })));
}

#[test]
fn parameters_as_postgresql_reads_them() {
    let params = session_of(b"user\0alice\0options\0-c geqo=off\0user\0bob\0_pq_.x\x001\0\0").unwrap();
    assert_eq!(params.user(), Some("bob"), "the last one counts");
    assert_eq!(params.database(), Some("bob"));
    assert_eq!(params.options(), Some("-c geqo=off"));
    assert_eq!(params.unknown_protocol_options(), ["_pq_.x"]);
    assert_eq!(params.len(), 4);

    assert_eq!(session_of(b"user\0a\0database\0\0\0").unwrap().database(), Some("a"));
    assert_eq!(session_of(b"user\0\0\0").unwrap().user(), None);
    let latin1 = session_of(b"user\0a\0application_name\0caf\xe9\0\0").unwrap();
    assert_eq!(latin1.get("application_name"), None);
    assert_eq!(latin1.get_bytes("application_name"), Some(&b"caf\xe9"[..]));
}

#[test]
fn malformed_parameters() {
    let many = "n\0v\0".repeat(MAX_STARTUP_PARAMS + 1) + "\0";
    for body in [
        &b""[..],
        b"user",
        b"user\0",
        b"user\0a",
        b"user\0a\0",
        b"user\0a\0\0x",
        b"\xff\0a\0\0",
        many.as_bytes(),
    ] {
        assert!(matches!(session_of(body), Err(StartupError::Malformed { .. })), "{body:?}");
    }
    let error = session_of(b"user\0").unwrap_err().client_error();
    assert_eq!(error.code, SqlState::PROTOCOL_VIOLATION);
}

#[test]
fn replication_values() {
    for (value, wanted) in [
        ("true", true),
        ("database", true),
        ("1", true),
        ("on", true),
        ("false", false),
        ("OFF", false),
        ("0", false),
        ("n", false),
    ] {
        let startup = Startup::new("a").unwrap().with("replication", value).unwrap();
        assert_eq!(startup.params.is_replication(), wanted, "{value}");
    }
    assert!(!Startup::new("a").unwrap().params.is_replication());
}

#[test]
fn building_keeps_order_and_refuses_zero_bytes() {
    let mut startup = Startup::new("a").unwrap().with("database", "d").unwrap().with("user", "b").unwrap();
    assert_eq!(startup.params.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["user", "database"]);
    assert_eq!(startup.params.remove("database"), Some(b"d".to_vec()));
    assert_eq!(startup.params.set("x", "a\0b"), Err(InvalidParam));
    assert_eq!(startup.params.set("", "a"), Err(InvalidParam));
    assert_eq!(startup.encode(), b"\x00\x00\x00\x10\x00\x03\x00\x00user\0b\0\0");
    startup.params.set("_pq_.y", "1").unwrap();
    startup.params.remove_protocol_options();
    assert_eq!(startup.params.len(), 1);
}

proptest! {
    #[test]
    fn round_trip(minor in 0_u16..10, params in proptest::collection::vec(("[a-z_.]{1,8}", "[^\0]{0,12}"), 0..8)) {
        let mut startup = Startup { version_minor: minor, params: Params::default() };
        for (name, value) in &params {
            startup.params.set(name, value).unwrap();
        }
        let bytes = startup.encode();
        prop_assert_eq!(parse(&bytes), Ok((Step::Startup(startup), bytes.len())));
        for cut in 0..bytes.len() {
            let need_more = matches!(parse(&bytes[..cut]), Ok((Step::NeedMore { at_least }, 0)) if at_least > cut);
            prop_assert!(need_more);
        }
    }

    #[test]
    fn any_bytes_are_safe(code in prop_oneof![Just(3_u32 << 16), Just(CANCEL), any::<u32>()],
                          body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let bytes = packet(code, &body);
        if let Ok((step, used)) = parse(&bytes) {
            prop_assert_eq!(used, bytes.len());
            if let Step::Startup(startup) = step {
                prop_assert_eq!(startup.encode(), bytes);
            }
        }
        let _ = parse(&body);
    }
}
