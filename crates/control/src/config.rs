//! What control needs to start, and why it may not: a new setting of the server that control reads is a field here.

use std::path::PathBuf;
use std::sync::Arc;

use dormouse_compute::postgres::discover::Installations;
use dormouse_compute::sandbox::identity::Identities;
use dormouse_pricing::Pricing;
use dormouse_statistics::StoreError;
use dormouse_storage::Store;

use crate::address::Address;
use crate::db::{self, DbError};
use crate::directory::DirectoryError;
use crate::identity::OidcSettings;
use crate::identity::jwks::JwksError;
use crate::model::settings::Timeouts;
use crate::node::Ways;
use crate::operation::StepFailure;
use crate::secrets::KeyError;

/// What control needs to know to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory; it exists, and only the server's user can change it.
    pub data: PathBuf,
    /// Where clients reach the proxy.
    pub address: Address,
    /// This program's version, for `/status`.
    pub version: String,
    /// What endpoints use that do not say otherwise.
    pub timeouts: Timeouts,
    /// The PostgreSQL installations.
    pub installations: Installations,
    /// Who computes run as.
    pub identities: Identities,
    /// Where the truth of all branches is.
    pub store: Store,
    /// A directory with a short path, for sockets.
    pub run_root: PathBuf,
    /// The ways of its node.
    pub ways: Ways,
    /// The identity provider whose tokens are accepted.
    pub oidc: Option<OidcSettings>,
    /// The price sheets.
    pub pricing: Arc<Pricing>,
}

/// Control could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The metadata file.
    #[error("cannot open the metadata")]
    Open(#[source] db::OpenError),
    /// The file of the statistics.
    #[error("cannot open the statistics")]
    Statistics(#[source] StoreError),
    /// A question or a change to the metadata.
    #[error("cannot use the metadata")]
    Metadata(#[source] DbError),
    /// The machine key or the local API key.
    #[error("cannot use a key file")]
    Key(#[source] KeyError),
    /// The client that asks the identity provider.
    #[error("cannot prepare for the identity provider")]
    Identity(#[source] JwksError),
    /// The directories of templates and computes.
    #[error("cannot prepare the data directory")]
    Directory(#[source] DirectoryError),
    /// The directories that an earlier server left.
    #[error("cannot look at the computes' directories")]
    Node(#[source] crate::node::NodeError),
    /// The first project could not be made.
    #[error("cannot make the first project: {0}")]
    FirstProject(#[source] StepFailure),
    /// What a new project asks for is not there.
    #[error("cannot make the first project: {0}")]
    Refused(#[source] crate::model::Refused),
}
