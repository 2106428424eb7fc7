//! A turning sign on standard error while something takes long; nothing when nobody watches.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::ProgressBar;

/// Time between two pictures.
const TICK: Duration = Duration::from_millis(100);

/// Shown until dropped.
#[derive(Debug)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn start(what: &str) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner();
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(TICK);
        Self(Some(bar))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
