//! What Dormouse knows about PostgreSQL's files and habits.
//!
//! * [`discover`]: which versions are installed, and where.
//! * [`view`]: the same installation, with the extension list of a platform.
//! * [`settings`]: the arguments of a fast start.
//! * [`pidfile`]: reading `postmaster.pid`.
//! * [`ready`]: noticing the moment when it accepts connections.
//! * [`promote`]: ending a recovery without a checkpoint.
//! * [`admin`]: a superuser connection over the private socket.
//! * [`log`]: the compute's log file, bounded.

pub mod admin;
pub mod discover;
pub mod log;
pub mod pidfile;
pub mod promote;
pub mod ready;
pub mod settings;
pub mod view;

/// The bootstrap superuser of every cluster. Users never get its password: it has none, and only
/// the private socket accepts it.
pub const SUPERUSER: &str = "dormouse_admin";

/// The database that Dormouse itself connects to.
pub const ADMIN_DATABASE: &str = "postgres";
