//! What is known of a client. Small: ten thousand of them do nothing most of the time.

use super::server::Server;
use super::unfinished::Unfinished;
use crate::settings::{ROLE, Reported, Settings};
use crate::statement::{Names, ReadAs};

/// One client of a pool.
#[derive(Debug, Default)]
pub struct Client {
    pub(super) names: Names,
    /// What its session should have.
    pub(super) wanted: Settings,
    /// What it began with, to which `RESET` goes back.
    pub(super) startup: Settings,
    /// It began with a role. Whether it still has that no backend can tell: see [`super::down`].
    pub(super) plays: bool,
    /// The parameters that it was told.
    pub(super) reported: Reported,
    /// How its texts are read.
    pub(super) read_as: ReadAs,
    /// The beginning of a message whose rest has not come.
    pub(super) partial: Vec<u8>,
    /// Before so many bytes of it are there it says nothing.
    pub(super) needs: usize,
    /// Room for that message, if it is long.
    pub(super) unfinished: Unfinished,
    /// Bytes to come of a message that is being passed on.
    pub(super) passing: usize,
    /// Of a message that nobody needs.
    pub(super) dropping: usize,
    /// What is in `partial` waits for the outcome of what was sent before.
    pub(super) stalled: bool,
    /// It said goodbye.
    pub(super) left: bool,
    /// The session keeps its backend until it ends.
    pub(super) keeps: bool,
    /// Its statements have its own names on the backend: its mode is `session`.
    pub(super) verbatim: bool,
    /// Channels it listens on.
    pub(super) channels: Vec<Box<str>>,
    /// The process number that it was told.
    pub(super) pid: u32,
}

impl Client {
    /// A client that has just logged in. In session mode it keeps its backend, and names its statements there itself.
    #[must_use]
    pub fn new(startup: Settings, reported: Reported, session: bool) -> Self {
        let plays = startup.get(ROLE).is_some();
        let wanted = startup.clone();
        Self { wanted, startup, plays, reported, keeps: session, verbatim: session, ..Self::default() }
    }

    /// The same with the process number that it was told, which it expects in its own notifications.
    #[must_use]
    pub fn with_pid(mut self, pid: u32) -> Self {
        self.pid = pid;
        self
    }

    /// Whether it stands between two messages.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.passing == 0 && self.dropping == 0 && self.partial.is_empty()
    }

    /// Whether its backend has a part of a message of it: what anybody else said there would be taken for the rest.
    #[must_use]
    pub fn is_half_passed(&self) -> bool {
        self.passing > 0
    }

    /// Whether what it said waits for the backend's next answer: then nothing more is read from it, and
    /// [`super::up`] is called again, without input, after that answer.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// What it said that waits for an answer, when that does not come any more: no backend has seen it, so it is for
    /// another one.
    pub fn take_back(&mut self) -> Vec<u8> {
        if !std::mem::take(&mut self.stalled) {
            return Vec::new();
        }
        self.needs = 0;
        self.unfinished.is_whole();
        std::mem::take(&mut self.partial)
    }

    /// Whether it said goodbye.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.left
    }

    /// The settings its session should have.
    #[must_use]
    pub fn wanted(&self) -> &Settings {
        &self.wanted
    }

    /// A setting that PostgreSQL does not list is asked for by its name. Where that cannot be remembered, nobody else gets
    /// the backend.
    pub(super) fn ask_by_name(&mut self, server: &mut Server, name: &str) {
        if self.wanted.get(name).is_none() && self.wanted.set(name, "").is_err() {
            self.keep(server);
        }
    }

    /// What it has is more than can be known or carried: it keeps its backend, which nobody has after it.
    pub(super) fn keep(&mut self, server: &mut Server) {
        self.keeps = true;
        server.spoil();
    }

    /// It has the settings that it began with. For one that has no backend, or is about to give it back.
    pub fn begin_again(&mut self) {
        self.wanted = self.startup.clone();
    }

    /// Whether it keeps its backend until it ends.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    /// The channels it listens on, as far as transactions are over.
    #[must_use]
    pub fn channels(&self) -> &[Box<str>] {
        &self.channels
    }

    /// How many prepared statements it has names for.
    #[must_use]
    pub fn prepared(&self) -> usize {
        self.names.len()
    }
}
