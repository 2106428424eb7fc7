//! The same on a store that speaks S3: `moto_server`, where `scripts/setup --tests` put it.

use std::process::{Child, Command, Stdio};

use dormouse_base::clock::Mono;
use dormouse_tests::programs::driver_home;
use dormouse_tests::{Server, free_port, note};

use super::{FILL, ROWS};

/// A store of its own.
struct Moto {
    child: Child,
    port: u16,
}

impl Moto {
    fn start() -> Option<Self> {
        let program = driver_home().join("python/bin/moto_server");
        if !program.is_file() {
            note("moto_server is not here: scripts/setup --tests brings it");
            return None;
        }
        let port = free_port();
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let moto = Self { child, port };
        let start = Mono::now();
        // It answers as soon as it is there; making the bucket is the first thing it is asked.
        while ureq::put(format!("{}/dormouse", moto.url())).send_empty().is_err() {
            assert!(start.elapsed().as_secs() < 20, "moto_server does not answer");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Some(moto)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _dead = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_database_lives_in_a_bucket() {
    let Some(moto) = Moto::start() else { return };
    let dir = dormouse_tests::passable_dir();
    let url = moto.url();
    let environment = [
        ("AWS_ENDPOINT", url.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let store = ["--store", "s3://dormouse/all"];
    let mut server = Server::start_in(&dir.path().join("data"), &store, &environment);
    let main = server.default_project();
    let client = server.connect().await;
    client.batch_execute(FILL).await.unwrap();
    drop(client);
    server.evict(&main);
    let branch = server.branch(&main, "feature", &[]);
    for at in [&main, &branch.at] {
        let client = server.try_connect(&at.dsn).await.unwrap();
        let rows: i64 = client.query_one(ROWS, &[]).await.unwrap().get(0);
        assert_eq!(rows, 1000);
    }
    server.fsck();
    assert!(server.stop().1);
}
