//! What happened, in order, for the person who has to understand a failure: one line per event with
//! the milliseconds since the start and who did it. Written through to `timeline.txt` at once, so
//! that it is there whatever ends the program.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use dormouse_base::clock::Mono;

/// The record of a run.
#[derive(Debug)]
pub(crate) struct Timeline {
    start: Mono,
    loud: bool,
    file: Mutex<File>,
}

impl Timeline {
    /// Begins a record in this directory; `loud` shows each line on standard error too.
    pub(crate) fn new(dir: &Path, loud: bool) -> Self {
        let file = File::create(dir.join("timeline.txt")).unwrap();
        Self { start: Mono::now(), loud, file: Mutex::new(file) }
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> std::time::Duration {
        self.start.elapsed()
    }

    /// Adds a line.
    #[allow(clippy::print_stderr, reason = "who starts a torture by hand wants to watch")]
    pub(crate) fn say(&self, who: &str, what: &str) {
        let ms = self.start.elapsed().as_millis();
        let line = format!("{:>7}.{:03}  {who:<10} {what}", ms / 1000, ms % 1000);
        if self.loud {
            eprintln!("{line}");
        }
        let mut file = self.file.lock().unwrap();
        let _full = writeln!(file, "{line}");
    }
}
