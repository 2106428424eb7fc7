//! A role is renamed, or dropped, and another one gets its name: whoever logs in by that is the new one, through a pool as well,
//! which has connections that were made when the name was the old one's.

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
