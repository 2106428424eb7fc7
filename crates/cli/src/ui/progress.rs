//! A turning sign or a bar on standard error while something takes long; nothing when nobody watches.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

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

/// What a bar looks like.
const STYLE: &str = "{msg} [{bar:30}] {bytes}/{total_bytes} {elapsed}";

/// A bar of bytes, shown until dropped.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: Option<ProgressBar>,
    what: String,
}

impl Bar {
    pub(super) fn start(what: &str, total: u64) -> Self {
        let what = what.to_owned();
        if !io::stderr().is_terminal() {
            return Self { bar: None, what };
        }
        let bar = ProgressBar::new(total);
        if let Ok(style) = ProgressStyle::with_template(STYLE) {
            bar.set_style(style);
        }
        bar.set_message(what.clone());
        bar.enable_steady_tick(TICK);
        Self { bar: Some(bar), what }
    }

    /// So many more bytes are done; `now` is being worked on.
    pub(crate) fn advance(&self, bytes: u64, now: &str) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
            bar.set_message(format!("{}: {now}", self.what));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
