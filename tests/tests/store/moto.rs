//! The S3 server of the moto project, in a Python process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use dormouse_storage::Store;
use dormouse_tests::checkout;
use dormouse_tests::programs::driver_home;

use crate::contract::{self, BUCKET};

/// Ends when its standard input does; killed for certain when dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let python = driver_home().join("python/bin/python");
        assert!(python.is_file(), "the Python drivers are missing: run scripts/setup --tests");
        let mut child = Command::new(python)
            .arg(checkout().join("tests/drivers/python/moto_s3.py"))
            .arg(BUCKET)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("moto did not start: {line:?}"));
        Self { child, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = (self.child.kill(), self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_the_python_world() {
    let server = Server::start();
    contract::opening(server.port, "secret-of-the-moto-test").await;
    let options = contract::options(server.port, "secret-of-the-moto-test");
    let store = Store::open(&format!("s3://{BUCKET}/main"), options).await.unwrap();
    // More than one page.
    contract::objects(&store, 1010).await;
    contract::registers(&store).await;
}
