//! What a new user does first.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use dormouse_tests::{Server, passable_dir};

#[tokio::test]
async fn connects_sleeps_and_wakes() {
    let mut server = Server::start(&["--idle-timeout", "1s", "--pause-timeout", "1s"]);
    assert_eq!(server.state(), "stopped", "nothing runs before somebody connects");
    let client = server.connect().await;
    client
        .batch_execute("create table t(n int); insert into t select generate_series(1, 1000)")
        .await
        .unwrap();
    server.until("paused");
    let sum: i64 = client.query_one("select sum(n) from t", &[]).await.unwrap().get(0);
    assert_eq!(sum, 500_500, "an open connection survives the pause");
    server.until("stopped");
    assert!(server.computes().is_empty(), "asleep means no process");
    let error = client.query_one("select 1", &[]).await.unwrap_err();
    assert!(error.is_closed() || error.code().is_some(), "{error}");
    let again = server.connect().await;
    let count: i64 = again.query_one("select count(*) from t", &[]).await.unwrap().get(0);
    assert_eq!(count, 1000);
    let (took, well) = server.stop();
    assert!(well && took.as_secs() < 30, "{took:?}");
    assert!(server.computes().is_empty(), "a stopped server leaves nothing running");
}

#[test]
fn a_service_manager_is_told_when_it_serves_and_when_it_stops() {
    let dir = passable_dir();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let told = || {
        let mut text = [0; 64];
        let length = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let mut server =
        Server::start_in(&dir.path().join("data"), &[], &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    assert_eq!(told(), "READY=1");
    assert!(server.stop().1);
    assert_eq!(told(), "STOPPING=1");
}
