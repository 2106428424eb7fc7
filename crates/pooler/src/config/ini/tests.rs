//! Files as people have them, and what is said about mistakes.

use std::error::Error as _;
use std::io;

use super::*;
use crate::config::PoolMode;

fn read(text: &str) -> Result<Ini, IniError> {
    parse(text, "p.ini", &mut |name| match name {
        "extra.ini" => Ok(String::from("min_pool_size = 2\n[users]\nbob = pool_size=4 pool_mode=session\n")),
        "loop.ini" => Ok(String::from("%include loop.ini")),
        "bad.ini" => Ok(String::from("\n\n  nonsense")),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    })
}

const FILE: &str = r#"
;; a comment with [brackets] and = signs
[databases]
foodb = host=host1.example.com port=5433
"my ""db"" x" = host='/var/run/a b' password='it''s; #secret' user=app pool_size=7
bardb = dbname = bazdb connect_query='SELECT 1; SET x = ''y''' max_db_connections=9 timezone=UTC
multi = host=a,b port=5432,5433 load_balance_hosts=disable
* = host=fallback reserve_pool=3
empty =

[pgbouncer]
listen_port = 6543
auth_type = scram-sha-256
pool_mode=statement
server_lifetime = 1.5
# another comment
%include extra.ini
alice = query_timeout=3

[peers]
7 = host=/tmp/p7 port=6433
"#;

#[test]
fn a_bad_value_is_told_with_file_and_line_whoever_uses_it() {
    for line in ["tcp_user_timeout = 30s", "peer_id = 20000", "so_reuseport = 2", "tcp_keepalive = ture"] {
        let error = read(&format!("[pgbouncer]\n\n{line}\n")).unwrap_err();
        assert_eq!(error.to_string(), "p.ini, line 3", "{line}");
        assert!(error.source().unwrap().to_string().contains("is not a value for"), "{line}");
    }
}

#[test]
fn a_whole_file() {
    let ini = read(FILE).unwrap();
    let quoted = ini.database("my \"db\" x").unwrap();
    assert_eq!(quoted.host.as_deref(), Some("/var/run/a b"));
    assert_eq!(quoted.password.as_ref().unwrap().expose(), "it's; #secret");
    assert_eq!((quoted.user.as_deref(), quoted.ports.as_slice()), (Some("app"), &[5432][..]));
    assert!(!format!("{ini:?}").contains("secret"));

    let bar = ini.database("bardb").unwrap();
    assert_eq!(bar.connect_query.as_deref(), Some("SELECT 1; SET x = 'y'"));
    assert_eq!(bar.parameters, [("timezone", String::from("UTC"))]);
    assert_eq!((bar.target("bardb"), bar.layer.get("max_db_connections")), ("bazdb", Some("9")));
    assert_eq!(ini.database("multi").unwrap().ports, [5432, 5433]);
    assert!(ini.database("empty").unwrap().host.is_none());

    let any = ini.database("anything").unwrap();
    assert_eq!((any.name.as_str(), any.target("anything")), ("*", "anything"));

    assert_eq!(ini.settings.get("listen_port").as_deref(), Some("6543"));
    assert_eq!(ini.settings.min_pool_size, 2);
    let bare = read("[databases]\nx =").unwrap();
    let bare = bare.settings_of("x", "y");
    assert_eq!((bare.pool_mode, bare.default_pool_size), (PoolMode::Session, 20));
    let pool = ini.settings_of("my \"db\" x", "bob");
    assert_eq!((pool.default_pool_size, pool.pool_mode), (4, PoolMode::Session));
    let pool = ini.settings_of("other", "alice");
    assert_eq!(
        (pool.reserve_pool_size, pool.pool_mode, pool.query_timeout.as_secs()),
        (3, PoolMode::Statement, 3)
    );
    assert_eq!(ini.peers, [Peer { id: 7, host: String::from("/tmp/p7"), port: 6433, pool_size: None }]);
}

#[test]
fn what_only_few_write() {
    let ini = read(
        "[databases] ; servers\n'my-db' = host=a,b load_balance_hosts=Disable\nb = host=a,b\nc = host=a\n\
         [pgbouncer] pool_mode = STATEMENT\nauth_type = MD5\n[users] # none",
    )
    .unwrap();
    let balancing = |name: &str| ini.database(name).unwrap().balancing();
    assert_eq!(
        (balancing("my-db"), balancing("b"), balancing("c")),
        (Some("disable"), Some("round-robin"), None)
    );
    assert_eq!(
        (ini.settings.pool_mode, ini.settings.get("auth_type").unwrap().as_str()),
        (PoolMode::Statement, "md5")
    );
}

#[test]
fn a_zero_that_says_nothing() {
    let ini = read(
        "[pgbouncer]\nquery_timeout=5\nclient_idle_timeout=6\nserver_lifetime=7\nquery_wait_timeout=8\n\
         [databases]\na = server_lifetime=0 query_wait_timeout=0\n[users]\nb = query_timeout=0 client_idle_timeout=0.0",
    )
    .unwrap();
    let pool = ini.settings_of("a", "b");
    let seconds =
        [pool.query_timeout, pool.client_idle_timeout, pool.server_lifetime, pool.query_wait_timeout];
    assert_eq!(seconds.map(|it| it.as_secs()), [5, 6, 7, 0]);
}

#[test]
fn mistakes_are_found_where_they_are() {
    let cases = [
        ("x = 1", 1, "a key must be in a section"),
        ("\n[what]", 2, "unknown section [what]"),
        ("\n[pgbouncer] words", 2, "expected `[section]`"),
        ("[databases]\n'a = host=x", 2, "a quote is not closed"),
        ("[pgbouncer]\n\npool_mode = fast", 3, "\"fast\" is not a value for pool_mode"),
        ("[pgbouncer]\npool_mod = session", 2, "unknown setting \"pool_mod\""),
        ("[pgbouncer]\njust words", 2, "expected `[section]`"),
        ("[databases]\n\"a = host=x", 2, "a quote is not closed"),
        ("[databases]\na = host='x", 2, "a quote is not closed"),
        ("[databases]\na = host=x word", 2, "behind the value of host"),
        ("[databases]\na = host='x'y", 2, "behind the value of host"),
        ("[databases]\na = word host=x", 2, "at the beginning"),
        ("[databases]\na = hots=x", 2, "unknown parameter \"hots\""),
        ("[databases]\na = port=99999", 2, "port must be a number from 1 to 65535"),
        ("[databases]\na = max_client_conn=1", 2, "cannot be set per endpoint, database or role"),
        ("[databases]\npgbouncer = host=x", 2, "admin console"),
        ("[users]\nbob = pool_size=-1", 2, "\"-1\" is not a value for default_pool_size"),
        ("[users]\nbob = host=x", 2, "unknown parameter \"host\""),
        ("[peers]\nx = host=y", 2, "from 1 to 16383"),
        ("%include gone.ini", 1, "cannot read the included file gone.ini"),
        ("[pgbouncer]\n%include", 2, "expected `[section]`"),
    ];
    for (text, line, problem) in cases {
        let error = read(text).unwrap_err();
        assert_eq!((error.file.as_str(), error.line), ("p.ini", line), "{text}");
        let source = error.source().unwrap().to_string();
        assert!(source.contains(problem), "{text}: {source}");
    }
    let error = read("%include bad.ini").unwrap_err();
    assert_eq!(error.to_string(), "bad.ini, line 3");
    assert!(matches!(read("%include loop.ini").unwrap_err().problem, Problem::TooDeep));
}

#[test]
fn errors_do_not_repeat_passwords() {
    for entry in [
        "password=hunter2'x port=z",
        "host=a password 'hunter2'",
        "password=top hunter2 port=1",
        "password='top'hunter2 port=1",
        "password=top hunter2=x y port=1",
        "password=top hunter2=x port=1",
        "password=top hunter2='x'y port=1",
        "postgres://u:hunter2@h/db",
        "postgres://u:hunter2@h/db?sslmode=require",
    ] {
        let error = read(&format!("[databases]\na = {entry}")).unwrap_err();
        let whole = format!("{error} {error:?} {}", error.source().unwrap());
        assert!(!whole.contains("hunter2"), "{whole}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_safe(text in "(\\[databases\\]\n)?[a-z='\" %;#\\[\\]\n\\\\é]{0,60}") {
        let _ = read(&text);
        let _ = crate::config::userlist::parse(&text);
    }
}
