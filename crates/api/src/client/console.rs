//! Calls about the console.

use super::Call;
use crate::console::ConsoleLink;
use crate::routes::{self, Method};

/// Makes a code that signs in once.
pub fn link() -> Call<ConsoleLink> {
    Call::new(Method::Post, routes::CONSOLE_LINK, &[])
}
