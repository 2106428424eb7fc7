//! A role is renamed, or dropped, and another one gets its name: whoever logs in by that is the new one, through a pool as well,
//! which has connections that were made when the name was the old one's. Who logged in as the old one does not become the new one.

use std::time::Duration;

use dormouse_tests::Server;
use tokio_postgres::Client;

/// Whether the session is of the role that has this name now.
const IS_OF: &str = "select usesysid = (select oid from pg_roles where rolname = $1::text)
    from pg_stat_activity where pid = pg_backend_pid()";

/// What is done to the role.
const CHANGES: [&str; 4] = [
    "alter role $ rename to $_was; create role $ login password 'new'",
    "drop role $; create role $ login password 'new'",
    "begin; alter role $ rename to $_was; create role $ login password 'new'; commit",
    "alter user $ rename to $_was; create user $ password 'new'",
];

/// How often somebody is refused in the moment before a role is there.
const TRIES: usize = 60;

async fn pooled(server: &Server, role: &str, password: &str) -> Client {
    let mut config = server.config();
    config.user(role).password(password);
    config.dbname(format!("app@{}-pooler", server.default_project().endpoint));
    server.connect_with(&config).await.unwrap()
}

async fn is_of(client: &Client, role: &str) -> bool {
    client.query_one(IS_OF, &[&role]).await.unwrap().get::<_, Option<bool>>(0).unwrap_or(false)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_of_a_name_is_of_the_role_that_has_it() {
    let server = Server::start(&[]);
    let owner = server.login("app_owner", &server.password()).await.unwrap();
    let session = pooled(&server, "app_owner", &server.password()).await;
    for (round, change) in CHANGES.into_iter().enumerate() {
        for by in [&owner, &session] {
            let role = format!("role{round}{}", u8::from(std::ptr::eq(by, &session)));
            owner.batch_execute(&format!("create role {role} login password 'old'")).await.unwrap();
            let old = pooled(&server, &role, "old").await;
            assert!(is_of(&old, &role).await);
            for sql in change.replace('$', &role).split("; ") {
                by.batch_execute(sql).await.unwrap();
            }
            let new = pooled(&server, &role, "new").await;
            assert!(is_of(&new, &role).await, "{role} has the rights of another: {change}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_when_a_role_is_there_is_not_told_that_it_is_not() {
    let server = Server::start(&[]);
    let owner = server.login("app_owner", &server.password()).await.unwrap();
    for round in 0..TRIES {
        let role = format!("role{round}");
        owner.batch_execute(&format!("create role {role} login password 'old'")).await.unwrap();
        let old = pooled(&server, &role, "old").await;
        assert!(is_of(&old, &role).await);
        owner.batch_execute(&format!("alter role {role} rename to {role}_was")).await.unwrap();
        // Its backend is of a role with another name: it gets a new one, and perhaps that is refused.
        let tried = old.simple_query("select 1");
        let comes = async {
            owner.batch_execute(&format!("create role {role} login password 'new'")).await.unwrap();
            is_of(&pooled(&server, &role, "new").await, &role).await
        };
        let (_refused, is_of_it) = tokio::join!(tried, comes);
        assert!(is_of_it, "{role}");
    }
}

/// Two roles, one of which has something that the other may not read, and ways to have them change names.
const SWAPS: [&str; 4] = [
    "alter role $a rename to $c; alter role $b rename to $a",
    "begin; alter role $a rename to $c; alter role $b rename to $a; commit",
    "do $$ begin alter role $a rename to $c; alter role $b rename to $a; end $$",
    "create function swap() returns void language plpgsql as 'begin alter role $a rename to $c;
        alter role $b rename to $a; end'; select swap(); drop function swap()",
];

/// Longer than what nobody saw is unknown.
const UNSEEN: Duration = Duration::from_millis(50);

async fn swap(owner: &Client, swap: &str, round: usize) -> [String; 3] {
    let names = ["a", "b", "c"].map(|name| format!("{name}{round}"));
    let mut sql = swap.to_owned();
    for (place, name) in ["$a", "$b", "$c"].iter().zip(&names) {
        sql = sql.replace(place, name);
    }
    owner.simple_query(&sql).await.unwrap();
    tokio::time::sleep(UNSEEN).await;
    names
}

async fn make_two(owner: &Client, round: usize) {
    let sql = format!(
        "create role a{round} login password 'of a'; create role b{round} login password 'of b';
         create table kept_by_a{round} as select 1 as v; grant select on kept_by_a{round} to a{round};
         create table kept_by_b{round} as select 2 as v; grant select on kept_by_b{round} to b{round}"
    );
    owner.batch_execute(&sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_logged_in_stays_who_it_is_whatever_is_called_so_now() {
    let server = Server::start(&[]);
    let owner = server.login("app_owner", &server.password()).await.unwrap();
    for (round, way) in SWAPS.into_iter().enumerate() {
        make_two(&owner, round).await;
        let (rests, new) = (pooled(&server, &format!("a{round}"), "of a").await, format!("a{round}"));
        rests.simple_query("select 1").await.unwrap();
        let never_asked = pooled(&server, &new, "of a").await;
        swap(&owner, way, round).await;
        // With its own connection it may go on as whom it was; with a new one it would be the other.
        let others = format!("select v from kept_by_b{round}");
        for old in [&rests, &never_asked] {
            let told = old.simple_query(&others).await.unwrap_err();
            let code = told.code().map(|code| code.code().to_owned());
            assert!(matches!(code.as_deref(), Some("28000" | "42501")), "{way}: {told:?}");
        }
        let other = pooled(&server, &new, "of b").await;
        assert!(is_of(&other, &new).await, "{way}: it has a connection of the old one's");
        other.simple_query(&others).await.unwrap();
        let told = other.simple_query(&format!("select v from kept_by_a{round}")).await.unwrap_err();
        assert_eq!(told.code().unwrap().code(), "42501", "{way}: {told:?}");
        for old in [rests, never_asked] {
            assert!(old.simple_query(&others).await.is_err(), "{way}: nor when the other has come");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_logged_in_while_all_slept_is_nobody_else_afterwards() {
    let server = Server::start(&[]);
    let project = server.default_project();
    for (round, verb) in ["suspend", "pause"].into_iter().enumerate() {
        let owner = server.login("app_owner", &server.password()).await.unwrap();
        make_two(&owner, round).await;
        let name = format!("a{round}");
        pooled(&server, &name, "of a").await.simple_query("select 1").await.unwrap();
        drop(owner);
        assert_eq!(server.act(&project, verb).0, 200);
        let (early, learns) = (pooled(&server, &name, "of a").await, pooled(&server, &name, "of a").await);
        assert!(is_of(&learns, &name).await, "{verb}");
        let owner = server.login("app_owner", &server.password()).await.unwrap();
        swap(&owner, SWAPS[2], round).await;
        for old in [early, learns] {
            let told = old.simple_query(&format!("select v from kept_by_b{round}")).await.unwrap_err();
            let code = told.code().map(|code| code.code().to_owned());
            assert!(matches!(code.as_deref(), Some("28000" | "42501")), "{verb}: {told:?}");
        }
        drop(owner);
    }
}
