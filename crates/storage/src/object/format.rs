//! The `format` object: whose store this is, and which version of the layout it has.
//!
//! Written once, when an empty place becomes a store. At each opening it also serves as the probe for
//! create-if-absent: it exists, so creating it again (with the very bytes it has) must be refused. A store
//! that lets it happen does not arbitrate, and [`Store::create`] then checks and writes under a lock of
//! this process.
//!
//! Its ID goes with the store wherever that is copied or moved. A server remembers it beside its metadata and
//! [expects](Expected) it from then on: the place where nothing is mounted does not become a second store.

use bytes::Bytes;
use dormouse_base::{Timestamp, clock};
use dormouse_runtime::failpoint;
use object_store::PutPayload;
use serde::{Deserialize, Serialize};

use super::error::{Cause, OpenError, StoreError, Verdict};
use super::metrics::Op;
use super::store::{Store, path};
use crate::key::{self, FORMAT_VERSION};

/// What the marker calls the writer.
const PRODUCT: &str = "dormouse";

/// The content of the marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormatMarker {
    /// Version of the layout and of everything in it.
    pub format: u32,
    /// Always `dormouse`.
    pub product: String,
    /// The version of Dormouse that made the store.
    pub version: String,
    /// When the store was made.
    pub created_at: Timestamp,
    /// Tells this store from every other.
    pub store: String,
}

/// What a store must be that is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Expected {
    /// Any, or an empty place, which becomes one.
    #[default]
    Any,
    /// Any that exists.
    Existing,
    /// The one with this ID ([`FormatMarker::store`]), wherever it has been moved or copied to.
    This(String),
}

/// The part of a marker that every version can read.
#[derive(Deserialize)]
struct Outline {
    format: u64,
    product: String,
}

impl FormatMarker {
    fn new() -> Self {
        Self {
            format: FORMAT_VERSION,
            product: PRODUCT.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            created_at: clock::now(),
            store: dormouse_base::rand::token(20).to_lowercase(),
        }
    }

    fn bytes(&self) -> Bytes {
        let mut text = serde_json::to_vec(self).expect("a marker is plain data");
        text.push(b'\n');
        Bytes::from(text)
    }
}

impl Store {
    /// Reads the marker of this store.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn format(&self) -> Result<FormatMarker, OpenError> {
        let bytes = self.get(&key::format()).await.map_err(|source| opening(self, source))?;
        check(self, &bytes)?;
        serde_json::from_slice(&bytes).map_err(|_| foreign(self, key::format().as_str()))
    }
}

/// Makes sure that the store is ours, the expected one, and of a format that we understand; writes the marker into
/// an empty one; finds out whether the store arbitrates. Tells its ID.
pub(super) async fn settle(
    store: &Store,
    read_only: bool,
    expected: &Expected,
) -> Result<Option<String>, OpenError> {
    let marker = match store.get(&key::format()).await {
        Ok(marker) => marker,
        Err(StoreError::NotFound(_)) if read_only => return Err(OpenError::Absent(store.url().to_owned())),
        Err(StoreError::NotFound(_)) if *expected != Expected::Any => {
            return Err(OpenError::Gone(store.url().to_owned()));
        }
        Err(StoreError::NotFound(_)) => begin(store).await?,
        Err(error) => return Err(opening(store, error)),
    };
    check(store, &marker)?;
    let id = serde_json::from_slice(&marker).ok().map(|FormatMarker { store, .. }| store);
    if let Expected::This(wanted) = expected
        && id.as_ref() != Some(wanted)
    {
        let found = id.unwrap_or_else(|| "without an ID".to_owned());
        return Err(OpenError::Other { url: store.url().to_owned(), found, expected: wanted.clone() });
    }
    if !read_only && !honours_create(store, &marker).await? {
        store.does_not_arbitrate();
        tracing::warn!(
            store = store.url(),
            "this store does not honour create-if-absent: writers are serialised in this process only, \
             so never let two servers use it"
        );
    }
    Ok(id)
}

/// Writes the marker where there is nothing yet.
async fn begin(store: &Store) -> Result<Bytes, OpenError> {
    if let Some(found) = store.any().await.map_err(|error| opening(store, error))? {
        // Another server may have begun between our two looks.
        return match store.get(&key::format()).await {
            Ok(marker) => Ok(marker),
            Err(StoreError::NotFound(_)) => Err(foreign(store, found.as_str())),
            Err(error) => Err(opening(store, error)),
        };
    }
    failpoint::hit("store.format.create")
        .await
        .map_err(|e| opening(store, Cause::Failpoint(e).into_error("write", &key::format())))?;
    let marker = FormatMarker::new().bytes();
    let (path, payload) = (path(&key::format()), PutPayload::from(marker.clone()));
    if let Err(cause) = store.retry(Op::Create, |_| store.create_once(&path, payload.clone())).await {
        match cause.verdict() {
            Verdict::Exists => {}
            // WebDAV, and file systems without hard links, have no such operation.
            Verdict::Unsupported => {
                store.does_not_arbitrate();
                store.create(&key::format(), marker).await.map_err(|error| opening(store, error))?;
            }
            _ => return Err(opening(store, cause.into_error("write", &key::format()))),
        }
    }
    store.get(&key::format()).await.map_err(|error| opening(store, error))
}

fn check(store: &Store, marker: &[u8]) -> Result<(), OpenError> {
    let outline: Result<Outline, _> = serde_json::from_slice(marker);
    // There never was a format 0.
    let outline = outline.ok().filter(|outline| outline.product == PRODUCT && outline.format > 0);
    let outline = outline.ok_or_else(|| foreign(store, key::format().as_str()))?;
    if outline.format > u64::from(FORMAT_VERSION) {
        let url = store.url().to_owned();
        return Err(OpenError::Newer { url, found: outline.format, known: FORMAT_VERSION });
    }
    Ok(())
}

/// Creates what exists already; the same bytes, so that a store which lets it happen is not harmed.
async fn honours_create(store: &Store, marker: &Bytes) -> Result<bool, OpenError> {
    if !store.arbitrates() {
        return Ok(false);
    }
    failpoint::hit("store.format.probe")
        .await
        .map_err(|e| opening(store, Cause::Failpoint(e).into_error("write", &key::format())))?;
    let (key, payload) = (key::format(), PutPayload::from(marker.clone()));
    let path = path(&key);
    match store.retry(Op::Create, |_| store.create_once(&path, payload.clone())).await {
        Ok(()) => Ok(false),
        Err(cause) => match cause.verdict() {
            Verdict::Exists => Ok(true),
            Verdict::Unsupported => Ok(false),
            _ => Err(opening(store, cause.into_error("write", &key))),
        },
    }
}

fn opening(store: &Store, source: StoreError) -> OpenError {
    let url = store.url().to_owned();
    match source {
        StoreError::NoBucket { .. } => OpenError::NoBucket { url, source },
        source => OpenError::Store { url, source },
    }
}

fn foreign(store: &Store, found: &str) -> OpenError {
    OpenError::Foreign { url: store.url().to_owned(), found: found.to_owned() }
}
