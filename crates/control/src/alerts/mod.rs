//! Alerts: who looks, what is kept, and who is told.
//!
//! ```text
//!  reconcile::alerts, every 10 s                           reconcile::notices
//!    rules × subjects ─► figure ─► watch (pure) ─► changes ──one transaction──► states, history, outbox ─► webhooks
//!                       Recorder        ▲                      (metadata)
//!                                       └── what fires, after a restart ──┘
//! ```
//!
//! A change and the notices about it are one transaction, so none is lost and none is sent about what did not happen. Only
//! what fires is kept: that an endpoint woke and is well is no news, and not worth a write. [`watch`] is which subjects a
//! rule has and what becomes of their states; the states themselves are in `dormouse_statistics::alert`. [`notice`] is
//! what a webhook is told, [`send`] how. A new default rule is a line in `dormouse_statistics::alert::defaults`.

pub mod watch;
pub mod notice;
pub mod send;

pub use watch::Watch;
