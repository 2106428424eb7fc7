//! Who gets in, with which password, and when a changed one counts: awake, asleep, and after every
//! kind of death. And what the owner of a database may do, without being superuser.

mod busy;
mod catalog;
mod changes;
mod guessing;
mod managed;
mod owner;
mod renamed;

use dormouse_tests::Server;

/// The error of a login that must fail.
async fn refused(server: &Server, role: &str, password: &str) -> (String, String) {
    match server.login(role, password).await {
        Ok(_) => panic!("{role} got in with {password}"),
        Err(error) => error,
    }
}

/// The login must fail with 28P01.
async fn wrong(server: &Server, role: &str, password: &str) {
    let (code, text) = refused(server, role, password).await;
    assert_eq!(code, "28P01", "{role}: {text}");
}

/// The login must work.
async fn right(server: &Server, role: &str, password: &str) {
    let session = server.login_session(role, password).await;
    let session =
        session.unwrap_or_else(|error| panic!("{role} with {password}: {error:?}\n{}", server.log()));
    let user: String = session.client.query_one("select current_user::text", &[]).await.unwrap().get(0);
    assert_eq!(user, role);
    session.close().await;
}
