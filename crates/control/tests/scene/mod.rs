//! A whole control plane on a directory of its own.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use dormouse_base::{BranchId, EndpointId, Kind, Secret, clock};
use dormouse_compute::State;
use dormouse_compute::event::{Cause, SleepReason};
use dormouse_compute::postgres::admin::AdminClient;
use dormouse_compute::postgres::discover::Installations;
use dormouse_compute::sandbox::identity::Identities;
// What the recorder imports from its parent module.
use dormouse_control::db::{Db, usage};
use dormouse_control::metering::{Doing, Ledger, Moment, Traffic};
use dormouse_control::vault::{
    CheckWish, Checked, CollectWish, Collected, Fork, NewBranch, Overview, Point, Sizes, Vault, VaultError,
    Window,
};
use dormouse_control::{
    Address, ComputeError, Computes, Config, Control, Foundation, OidcSettings, Timeouts, WayIn, Ways,
};
use dormouse_runtime::task::Scope;
use http_body_util::BodyExt;
use recorder::Recorder;
use serde_json::Value;
use tower::ServiceExt;

/// Storage that remembers what was asked of it.
#[path = "../../src/vault/recorder.rs"]
pub mod recorder;

/// Computes that sleep and cannot be woken: what control sees on a machine where nothing starts.
#[derive(Debug)]
pub struct Asleep;

fn no<T>(code: &'static str) -> Result<T, ComputeError> {
    Err(ComputeError { kind: Kind::Unavailable, code, message: "nothing starts here".to_owned() })
}

#[async_trait::async_trait]
impl Computes for Asleep {
    fn state(&self, _: &EndpointId) -> State {
        State::Stopped
    }
    fn pid(&self, _: &EndpointId) -> Option<u32> {
        None
    }
    async fn settled(&self, _: &EndpointId) -> State {
        State::Stopped
    }
    async fn wake(&self, _: &EndpointId, _: Cause) -> Result<(), ComputeError> {
        no("compute-did-not-start")
    }
    async fn suspend(&self, _: &EndpointId, _: SleepReason) -> Result<(), ComputeError> {
        Ok(())
    }
    async fn pause(&self, _: &EndpointId) -> Result<(), ComputeError> {
        no("endpoint-state")
    }
    async fn admin(&self, _: &EndpointId, _: &str) -> Result<AdminClient, ComputeError> {
        no("endpoint-state")
    }
    async fn way_in(&self, _: &EndpointId) -> Result<WayIn, ComputeError> {
        no("compute-did-not-start")
    }
    async fn forget(&self, _: &EndpointId) {}
    fn renew(&self, _: &EndpointId) {}
}

pub struct Scene {
    dir: tempfile::TempDir,
    pub control: Control,
    pub computes: Arc<dyn Computes>,
    pub vault: Arc<Recorder>,
    pub scope: Scope,
    key: Secret<String>,
}

/// What control starts with in tests.
pub fn config(data: &Path, installed: &[PathBuf]) -> Config {
    Config {
        data: data.to_owned(),
        address: Address { domain: None, host: "127.0.0.1".to_owned(), port: 5455, parameters: Vec::new() },
        version: "0.0.0-test".to_owned(),
        timeouts: Timeouts::default(),
        installations: Installations::discover(installed),
        identities: Identities::detect(None, data).expect("an account for computes: run scripts/setup"),
        store: store_in(data),
        run_root: data.join("run"),
        ways: Ways::default(),
        oidc: None,
        pricing: Arc::default(),
    }
}

/// A store that the next server on the directory finds again.
fn store_in(data: &Path) -> dormouse_storage::Store {
    let path = data.join("store");
    std::fs::create_dir_all(&path).unwrap();
    let backend = object_store::local::LocalFileSystem::new_with_prefix(path).unwrap();
    dormouse_storage::Store::new(Arc::new(backend))
}

/// A directory that computes may pass through.
pub fn directory() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    dir
}

impl Scene {
    /// Nothing starts here, so templates need not be real: building one takes seconds.
    pub fn new() -> Self {
        let dir = directory();
        for major in 15..=18 {
            let data = dir.path().join(format!("templates/{major}/data"));
            std::fs::create_dir_all(&data).unwrap();
            std::fs::write(data.join("PG_VERSION"), format!("{major}\n")).unwrap();
        }
        Self::open(dir, &[], |_, _, _| Arc::new(Asleep))
    }

    /// With these PostgreSQL installations first.
    pub fn on(installed: &[PathBuf]) -> Self {
        Self::open(directory(), installed, |_, _, _| Arc::new(Asleep))
    }

    pub fn with(computes: impl FnOnce(&Foundation, &Scope, &Path) -> Arc<dyn Computes>) -> Self {
        Self::open(directory(), &[], computes)
    }

    /// On a directory that may have been used before.
    pub fn open(
        dir: tempfile::TempDir,
        installed: &[PathBuf],
        computes: impl FnOnce(&Foundation, &Scope, &Path) -> Arc<dyn Computes>,
    ) -> Self {
        let config = config(dir.path(), installed);
        Self::open_as(dir, config, computes)
    }

    /// With everything asleep, trusting an identity provider.
    pub fn trusting(oidc: OidcSettings) -> Self {
        let dir = directory();
        let config = Config { oidc: Some(oidc), ..config(dir.path(), &[]) };
        for major in 15..=18 {
            let data = dir.path().join(format!("templates/{major}/data"));
            std::fs::create_dir_all(&data).unwrap();
            std::fs::write(data.join("PG_VERSION"), format!("{major}\n")).unwrap();
        }
        Self::open_as(dir, config, |_, _, _| Arc::new(Asleep))
    }

    fn open_as(
        dir: tempfile::TempDir,
        config: Config,
        computes: impl FnOnce(&Foundation, &Scope, &Path) -> Arc<dyn Computes>,
    ) -> Self {
        let scope = Scope::new();
        let foundation = Foundation::open(config).unwrap();
        let computes = computes(&foundation, &scope, dir.path());
        let vault = Arc::new(Recorder::default());
        // Real computes need real directories; where nothing starts, the recorder tells what was asked.
        let real = !format!("{computes:?}").contains("Asleep");
        let store: Arc<dyn Vault> = if real { Arc::new(foundation.node()) } else { Arc::clone(&vault) as _ };
        let control = Control::new(foundation, Arc::clone(&computes), store, &scope);
        let key = control.local_key().unwrap();
        Self { dir, control, computes, vault, scope, key }
    }

    pub fn data(&self) -> &Path {
        self.dir.path()
    }

    pub fn key(&self) -> &str {
        self.key.expose()
    }

    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        key: Option<&str>,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(format!("/api/v2{path}"));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let body = body.filter(|b| !b.is_null()).map_or_else(Body::empty, |b| Body::from(b.to_string()));
        let response = self.control.router().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("not JSON: {bytes:?}")))
    }

    /// A request that is anything but what it should be.
    pub async fn raw(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.control.router().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("not JSON: {bytes:?}")))
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask("GET", path, None, Some(self.key())).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.ask("POST", path, Some(body), Some(self.key())).await
    }

    pub async fn delete(&self, path: &str) -> (StatusCode, Value) {
        self.ask("DELETE", path, None, Some(self.key())).await
    }

    /// The server dies: nothing is stopped, nothing is said.
    pub async fn crash(self) -> tempfile::TempDir {
        assert!(self.scope.close(std::time::Duration::from_secs(10)).await);
        self.dir
    }

    /// Stops every compute, so that a test leaves no process behind.
    pub async fn end(self) {
        let (_, status) = self.get("/status").await;
        for endpoint in status["endpoints"].as_array().unwrap() {
            let id: EndpointId = endpoint["id"].as_str().unwrap().parse().unwrap();
            self.computes.suspend(&id, SleepReason::Shutdown).await.unwrap();
        }
        assert!(self.scope.close(std::time::Duration::from_secs(10)).await);
    }

    /// Makes a project and returns the whole reply.
    pub async fn project(&self, name: &str) -> Value {
        let (status, made) = self.post("/projects", serde_json::json!({"project": {"name": name}})).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made
    }
}

/// Bytes of WAL that [`Scene::worked`] writes.
pub const WRITTEN: u64 = 16 << 20;

impl Scene {
    /// Puts into the ledger that an endpoint of a quarter of a CU just worked for so many seconds, sent a million bytes, and
    /// had a branch of 2 GB with 1 GB of history all the time.
    pub async fn worked(&self, endpoint: &EndpointId, branch: &BranchId, seconds: u64) {
        let db = Db::open(self.data()).unwrap();
        let loaded = db.read("load", usage::load).unwrap();
        let mut ledger = Ledger::resume(loaded.number, loaded.marks, loaded.levels, 10_000);
        let at = |second: u64| Moment { wall: clock::now(), boot: 1, uptime_ms: 1 + second * 1000 };
        ledger.turn(endpoint, Doing::Off, None, &at(0));
        ledger.turn(endpoint, Doing::Active, None, &at(0));
        ledger.level(branch, 2_000_000_000, 1_000_000_000, &at(0));
        ledger.traffic(endpoint, Traffic { egress: 1_000_000, ingress: 1000, queries: 10 }, &at(0));
        ledger.written(endpoint, WRITTEN, &at(0));
        ledger.turn(endpoint, Doing::Off, None, &at(seconds));
        ledger.settle(&at(seconds), true);
        let batch = ledger.take().unwrap();
        db.write("store", move |db| usage::store(db, &batch, clock::now())).await.unwrap();
    }
}

/// The paths of a new project and its branch.
pub fn paths(made: &Value) -> (String, String) {
    let project = format!("/projects/{}", made["project"]["id"].as_str().unwrap());
    let branch = format!("{project}/branches/{}", made["branch"]["id"].as_str().unwrap());
    (project, branch)
}

/// The branch of a new project, or of a new branch.
pub fn branch(made: &Value) -> BranchId {
    made["branch"]["id"].as_str().unwrap().parse().unwrap()
}

/// The endpoint of a new project.
pub fn endpoint(made: &Value) -> EndpointId {
    made["endpoints"][0]["id"].as_str().unwrap().parse().unwrap()
}
