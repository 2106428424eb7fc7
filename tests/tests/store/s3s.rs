//! An S3 server in this process, on a directory, that checks signatures.

use dormouse_runtime::task::Scope;
use dormouse_storage::Store;
use dormouse_storage::object::OpenError;
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;

use crate::contract::{self, BUCKET};

const SECRET: &str = "a-secret-of-the-test";

/// The server; it ends with the test.
struct Server {
    _dir: tempfile::TempDir,
    port: u16,
    scope: Scope,
}

impl Server {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(dir.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single("dormouse", SECRET));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let scope = Scope::new();
        scope.spawn("accept", accept(listener, builder.build(), scope.clone()));
        Self { _dir: dir, port, scope }
    }
}

async fn accept(listener: TcpListener, service: S3Service, scope: Scope) {
    let token = scope.token();
    while let Some(Ok((socket, _))) = token.run_until_cancelled(listener.accept()).await {
        let connection = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
            .http1_only()
            .serve_connection(TokioIo::new(socket), service.clone())
            .into_owned();
        let token = scope.token();
        scope.spawn("serve", async move {
            let _closed = token.run_until_cancelled(connection).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_the_rust_world() {
    let server = Server::start().await;
    contract::opening(server.port, SECRET).await;
    let url = format!("s3://{BUCKET}/main");
    let store = Store::open(&url, contract::options(server.port, SECRET)).await.unwrap();
    contract::objects(&store, 100).await;
    contract::registers(&store).await;
    let refused = Store::open(&url, contract::options(server.port, "wrong")).await.unwrap_err();
    let OpenError::Store { source, .. } = &refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("credentials"), "{refused:?}");
    server.scope.close(std::time::Duration::from_secs(5)).await;
}
