//! Words that every Dormouse crate shares, and nothing else: no tokio, no files, no sockets.
//!
//! A type moves down here only when a second crate needs it. Two modules are special because they
//! are the *only* door to something the outside world decides: [`clock`] is where time comes from
//! and [`rand`] is where randomness comes from (clippy bans every other way in), so that a
//! simulation can later put a seeded world behind them.

pub mod clock;
pub mod cu;
pub mod id;
pub mod lsn;
pub mod epoch;
pub mod hash;
pub mod kind;
pub mod causes;
pub mod rand;
pub mod role_changes;
pub mod secret;
pub mod span;

pub use causes::with_causes;
pub use clock::Timestamp;
pub use cu::Cu;
pub use epoch::Epoch;
pub use id::{AlertRuleId, ApiKeyId, BranchId, EndpointId, OperationId, ProjectId, WebhookId};
pub use kind::Kind;
pub use lsn::{Lsn, Timeline};
pub use role_changes::RoleChanges;
pub use secret::Secret;
