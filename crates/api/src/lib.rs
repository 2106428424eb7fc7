//! The HTTP contract of Dormouse: what the server answers and what the command line, the console
//! and other programs send. Types and text only: no sockets, no async, no clock.
//!
//! Shapes follow Neon's public API v2, so that `neonctl` works against a Dormouse server; fields
//! of ours that Neon does not have are marked *(extension)*. A field exists only when the server
//! really knows its value: a missing field is honest, an invented number is not.
//!
//! Reading order: [`routes`] is the table of everything that can be asked; each resource has one
//! file with its replies and requests; [`body`] reads a request on the server; [`client`] builds a
//! request and reads the reply. A new resource is: its file here, its routes, its `client` file,
//! a row in `openapi/shapes.rs`, and a snapshot in `tests/`.

pub mod routes;

pub mod error;
pub mod page;

pub mod project;
pub mod import;

pub mod branch;
pub mod schema;
pub mod snapshot;

pub mod endpoint;
pub mod event;

pub mod role;

pub mod database;

pub mod connection;

pub mod operation;

pub mod api_key;
pub mod auth;
pub mod console;
pub mod user;
pub mod audit;
pub mod consumption;
pub mod usage;
pub mod used;
pub mod cost;

pub mod statistics;
pub mod alert;
pub mod quota;

pub mod server_file;
pub mod status;
pub mod storage;
pub mod pooler;

pub mod body;
pub mod idempotency;

pub mod client;

pub mod openapi;

mod sealed;

pub use api_key::{ApiKey, ApiKeyCreated, ApiKeyRevoked, CreateApiKey};
pub use audit::{Audit, AuditEntry};
pub use branch::{Branch, Branches};
pub use connection::{ConnectionParameters, ConnectionUri, ConnectionUriReply};
pub use console::{ConsoleLink, ConsoleSession, SessionReply, SignIn};
pub use database::{Database, Databases};
pub use endpoint::{CurrentState, Endpoint, Endpoints, LiveState};
pub use error::ErrorBody;
pub use event::{EndpointEvent, Events};
pub use operation::{Operation, OperationStatus, Operations};
pub use page::{Page, PageQuery};
pub use project::{CreatedProject, Project, Projects};
pub use role::{Role, Roles};
pub use schema::{CompareReply, SchemaReply};
pub use server_file::ServerFile;
pub use snapshot::{Snapshot, Snapshots};
pub use status::{Status, StatusEndpoint};
pub use user::{Organizations, User};
