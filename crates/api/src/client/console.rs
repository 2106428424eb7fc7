//! Calls about the console.

use super::Call;
use crate::console::{ConsoleLink, ConsoleSessionEnded, ConsoleSessions};
use crate::routes::{self, Method};

/// Makes a code that signs in once.
pub fn link() -> Call<ConsoleLink> {
    Call::new(Method::Post, routes::CONSOLE_LINK, &[])
}

/// Browsers that are signed in.
pub fn sessions() -> Call<ConsoleSessions> {
    Call::new(Method::Get, routes::CONSOLE_SESSIONS, &[])
}

/// Signs a browser out.
pub fn end(session: &str) -> Call<ConsoleSessionEnded> {
    Call::new(Method::Delete, routes::CONSOLE_SESSION, &[session])
}
