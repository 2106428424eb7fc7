//! What should exist, and making it so.
//!
//! ```text
//!   HTTP API ──► model (rules) ──► db (wishes, durable) ──► operation (steps) ──► computes, directories
//!                                    ▲        ▲                                        │
//!        proxy: locate, password ────┘        └── keeper (Host): learns and applies ◄──┘
//!                              reconcile: looks at all of it again, now and then
//! ```
//!
//! Read in this order. [`model`] is the domain without I/O; [`db`] is the metadata; [`calendar`] tells
//! the date as far as it is believed; [`secrets`] keeps
//! passwords sealed; [`directory`] makes clusters; [`keeper`] is this crate's side of
//! [`dormouse_compute::Host`]; [`computes`] and [`vault`] are what is
//! asked of computes and of storage; [`meta`] is what storage keeps for a disaster, [`descent`] what a branch
//! gets from its parent. [`operation`] changes things in
//! durable steps, [`reconcile`] puts right what nobody asked about. [`locate`], [`password`] and [`token`]
//! are what the proxy needs on the way in, [`pooler`] what is asked of its pools; [`http`] is the public API. [`control`] holds it together;
//! its builder is the only way in for `server`.
//!
//! A new resource is: a table in `db`, rules in `model`, a handler file in `http`, and, when
//! PostgreSQL or files must follow, an operation.

pub mod model;
pub mod db;
pub mod calendar;
pub mod secrets;
pub mod directory;
pub mod keeper;
pub mod computes;
pub mod vault;
pub mod node;
pub mod meta;
pub mod recover;
pub mod descent;
pub mod metering;
pub mod cost;
pub mod operation;
pub mod reconcile;
pub mod address;
pub mod api_key;
pub mod token;
pub mod identity;
mod known;
pub mod locate;
pub mod pooler;
pub mod measure;
pub mod alerts;
pub mod password;
pub mod plan;
pub mod schema;
pub(crate) mod amcheck;
pub mod first;
mod remembered;
pub(crate) mod replies;
pub mod http;
pub mod metrics;
pub mod config;
pub mod control;

pub use address::Address;
pub use computes::{ComputeError, Computes, WayIn};
pub use config::{Config, StartError};
pub use control::{Control, Foundation};
pub use first::FirstProject;
pub use http::auth::{OverTls, Peer};
pub use identity::OidcSettings;
pub use keeper::Keeper;
pub use locate::{LocateError, Located, Locator};
pub use model::settings::Timeouts;
pub use model::token::TokenError;
pub use node::{LocalClone, Node, WalSource, Ways};
pub use password::{PasswordError, StoredRole};
pub use vault::{Vault, VaultError};
