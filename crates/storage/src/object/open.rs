//! From an address to a store.
//!
//! | address | store | settings from the environment |
//! |---|---|---|
//! | a path, `file:///path` | a directory, made durable | |
//! | `s3://bucket/prefix` | S3 and what speaks like it | `AWS_…` (`AWS_ENDPOINT_URL`, `AWS_REGION`, …) |
//! | `gs://bucket/prefix` | Google Cloud Storage | `GOOGLE_…`, `SERVICE_ACCOUNT` |
//! | `az://container/prefix` | Azure Blob Storage | `AZURE_…` |
//! | `http(s)://host/prefix` | WebDAV | |
//! | `memory://` | this process, for tests | |
//!
//! Secrets come from the environment only: an address ends up in logs.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::Secret;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use url::Url;

use super::attempt::Limits;
use super::error::OpenError;
use super::fault::{self, FaultPlan, FaultStore};
use super::format::Expected;
use super::root::Root;
use super::store::{Parts, Store};
use super::{format, local};

/// Variables of the environment that some backend reads begin with one of these.
const PREFIXES: [&str; 5] = ["AWS_", "GOOGLE_", "AZURE_", "SERVICE_ACCOUNT", "IDENTITY_ENDPOINT"];

/// Time to reach a server before the try counts as failed.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Tries of one request while a store is opened.
const OPENING_ATTEMPTS: u32 = 5;

/// No new try of a request begins later than this while a store is opened.
const OPENING_DEADLINE: Duration = Duration::from_secs(30);

/// Idle connections kept per server; reads come in bursts of this size.
const IDLE_CONNECTIONS: usize = 96;

/// How a store is opened.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// Limits of its operations.
    pub limits: Limits,
    /// Settings and credentials, by the names of the environment's variables.
    pub variables: BTreeMap<String, Secret<String>>,
    /// Faults to inject.
    pub faults: Option<FaultPlan>,
    /// Open an existing store without writing to it.
    pub read_only: bool,
    /// Which store it must be.
    pub expected: Expected,
}

impl StoreOptions {
    /// What the environment says: credentials, and `DORMOUSE_STORE_FAULTS`.
    ///
    /// # Errors
    /// When the faults cannot be understood.
    pub fn from_environment() -> Result<Self, OpenError> {
        let ours = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| ours(name))
            .map(|(name, value)| (name, Secret::new(value)));
        let faults = match std::env::var(fault::VARIABLE) {
            Ok(text) => {
                Some(text.parse().map_err(|reason| OpenError::Faults { variable: fault::VARIABLE, reason })?)
            }
            Err(_) => None,
        };
        Ok(Self { variables: variables.collect(), faults, ..Self::default() })
    }
}

impl Store {
    /// Opens the store at an address (see the table at the head of this file's module), writes the format
    /// marker into an empty one (unless a store is [expected](Expected)), and finds out whether the store honours create-if-absent.
    ///
    /// # Errors
    /// With what is wrong and what to do; never with a secret.
    pub async fn open(url: &str, options: StoreOptions) -> Result<Self, OpenError> {
        let Backend { backend, url, directory } = backend(url, &options).await?;
        let (backend, faults) = match options.faults {
            Some(plan) => {
                tracing::warn!(store = %url, ?plan, "faults are injected into the store");
                let faulty = FaultStore::new(backend, plan);
                let handle = faulty.handle();
                (Arc::new(faulty) as Arc<dyn ObjectStore>, Some(handle))
            }
            None => (backend, None),
        };
        let parts = Parts { backend, url, limits: options.limits, id: None, directory, faults };
        let opening = Store::of(Parts { limits: at_opening(options.limits), ..parts.clone() });
        let id = format::settle(&opening, options.read_only, &options.expected).await?;
        let store = Store::of(Parts { id, ..parts });
        if !opening.arbitrates() {
            store.does_not_arbitrate();
        }
        Ok(store)
    }
}

/// Whoever opens a store waits at a prompt: a wrong address must be told sooner than an outage.
fn at_opening(limits: Limits) -> Limits {
    Limits {
        attempts: limits.attempts.min(OPENING_ATTEMPTS),
        deadline: limits.deadline.min(OPENING_DEADLINE),
        ..limits
    }
}

struct Backend {
    backend: Arc<dyn ObjectStore>,
    url: String,
    directory: Option<Arc<Root>>,
}

async fn backend(text: &str, options: &StoreOptions) -> Result<Backend, OpenError> {
    if !text.contains("://") && !text.starts_with("file:") {
        return directory(PathBuf::from(text), options).await;
    }
    let refused =
        |url: &str, reason: &str| OpenError::Address { url: url.to_owned(), reason: reason.to_owned() };
    // A text that is no URL may hold anything, so only its beginning is shown.
    let beginning = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let url = Url::parse(text).map_err(|error| refused(&format!("{beginning}:…"), &error.to_string()))?;
    let shown = shown(&url);
    if url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        let reason =
            "leave out passwords and parameters, and set AWS_…, GOOGLE_… or AZURE_… in the environment";
        return Err(refused(&shown, reason));
    }
    match url.scheme() {
        "file" => {
            let path = url.to_file_path();
            let path = path.map_err(|()| refused(&shown, "write file:///absolute/path, or only the path"))?;
            directory(path, options).await
        }
        "memory" => {
            Ok(Backend { backend: Arc::new(InMemory::new()), url: "memory://".to_owned(), directory: None })
        }
        _ => remote(&url, shown, options),
    }
}

/// The address without what could be secret.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _unchanged = (url.set_password(None), url.set_query(None), url.set_fragment(None));
    url.to_string()
}

async fn directory(path: PathBuf, options: &StoreOptions) -> Result<Backend, OpenError> {
    let shown = path.display().to_string();
    if shown.is_empty() {
        let reason = "write a directory, or an address such as s3://bucket/prefix".to_owned();
        return Err(OpenError::Address { url: shown, reason });
    }
    let writes = !options.read_only;
    let opened =
        local::open(path, writes, writes && options.expected == Expected::Any).await.map_err(|source| {
            match source.kind() {
                io::ErrorKind::NotFound if options.expected != Expected::Any => {
                    OpenError::Gone(shown.clone())
                }
                _ => OpenError::Directory { path: shown.clone(), source },
            }
        });
    let (backend, root) = opened?;
    let path = root.path();
    let url = Url::from_file_path(path).map_or_else(|()| path.display().to_string(), |url| url.to_string());
    Ok(Backend { backend: Arc::new(backend), url, directory: Some(root) })
}

fn remote(url: &Url, shown: String, options: &StoreOptions) -> Result<Backend, OpenError> {
    let parsed = ObjectStoreScheme::parse(url);
    let (scheme, prefix) = parsed.map_err(|_| OpenError::Address {
        url: shown.clone(),
        reason: "write a directory, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
            .to_owned(),
    })?;
    let (built, variables) = build(url, &scheme, options);
    let settings = |error| OpenError::Settings { url: shown.clone(), variables, source: Box::new(error) };
    let backend = built.map_err(settings)?;
    let backend: Arc<dyn ObjectStore> =
        if prefix.as_ref().is_empty() { backend } else { Arc::new(PrefixStore::new(backend, prefix)) };
    Ok(Backend { backend, url: shown, directory: None })
}

/// A builder with the address and what the environment says.
macro_rules! built {
    ($builder:ty, $url:expr, $options:expr, $prefixes:expr) => {{
        let builder = <$builder>::new()
            .with_url($url.to_string())
            .with_client_options(client())
            .with_retry(no_retries());
        let builder = $options.variables.iter().fold(builder, |builder, (name, value)| {
            let ours = $prefixes.iter().any(|prefix: &&str| name.starts_with(prefix));
            match name.to_ascii_lowercase().parse() {
                Ok(key) if ours => builder.with_config(key, value.expose().as_str()),
                _ => builder,
            }
        });
        builder.build().map(|backend| Arc::new(backend) as Arc<dyn ObjectStore>)
    }};
}

type Built = Result<Arc<dyn ObjectStore>, object_store::Error>;

fn build(url: &Url, scheme: &ObjectStoreScheme, options: &StoreOptions) -> (Built, &'static str) {
    match scheme {
        ObjectStoreScheme::AmazonS3 => (built!(AmazonS3Builder, url, options, ["AWS_"]), "AWS_…"),
        ObjectStoreScheme::GoogleCloudStorage => {
            (built!(GoogleCloudStorageBuilder, url, options, ["GOOGLE_", "SERVICE_ACCOUNT"]), "GOOGLE_…")
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let endpoint = options.variables.get("IDENTITY_ENDPOINT");
            let mut options = options.clone();
            if let Some(endpoint) = endpoint {
                options.variables.insert("AZURE_MSI_ENDPOINT".to_owned(), endpoint.clone());
            }
            (built!(MicrosoftAzureBuilder, url, options, ["AZURE_"]), "AZURE_…")
        }
        _ => {
            let server = &url[..url::Position::BeforePath];
            let builder = HttpBuilder::new().with_url(server).with_client_options(client());
            let built = builder.with_retry(no_retries()).build();
            (built.map(|backend| Arc::new(backend) as Arc<dyn ObjectStore>), "HTTPS_PROXY, NO_PROXY")
        }
    }
}

/// Time-outs and retries are ours (`attempt.rs`).
fn client() -> ClientOptions {
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIME)
        .with_pool_max_idle_per_host(IDLE_CONNECTIONS)
}

fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}
