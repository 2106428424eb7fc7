//! What a statement of the client has left behind, as its text and its end tell.

use std::sync::Arc;

use dormouse_pgwire::backend::TxStatus;

use super::Down;
use crate::link::client::Client;
use crate::link::expect::{Asked, Expect, UNREAD};
use crate::link::inspect::SETTINGS;
use crate::link::server::Server;
use crate::link::stateful::Stateful;
use crate::link::up::deallocated_in;
use crate::settings::{Change, Settings, Tracker, Uncertain, may_be_hidden};
use crate::sql::{Effect, classify};

/// What is seen to when the transaction is over.
const LATER: Stateful = Stateful::ANYTHING.with(Stateful::RELEASE).with(Stateful::EXECUTES);

/// Commands that only read or write rows: what else their texts do has been read in them.
const ROWS: [&[u8]; 4] = [b"SELECT ", b"INSERT ", b"UPDATE ", b"DELETE "];

/// What may set a setting that was reset.
const SETS: Stateful = Stateful::ANYTHING.with(Stateful::EXECUTES).with(SETTINGS);

/// Changes of settings in one text that are followed one by one: a text of nothing else may have millions.
const MAX_FOLLOWED: usize = 1000;

impl Down<'_> {
    /// Changed tables make plans old; so do names that mean something else. Changed roles may have to prove something else.
    pub(super) fn note_command(&mut self, body: &[u8]) {
        self.roles_changed |= self.server.under_way.roles.completed(body);
        if let Some(Expect::Query(asked)) = self.server.expect.front_mut() {
            asked.done += 1;
        }
        if ROWS.iter().any(|command| body.starts_with(command)) {
            // `CREATE TABLE … AS` ends so, too.
            let elsewhere = self.server.under_way.reads.changed != 0;
            if elsewhere && body.starts_with(ROWS[0]) && self.may(Stateful::DEFINES) {
                self.server.touched = self.server.touched.with(Stateful::TEMP);
            }
            return;
        }
        self.note_forgotten(body);
        if body.starts_with(b"COPY ") {
            // The data was read, and the Syncs before it ignored.
            let at = self.server.behind_answers();
            while let Some(Expect::Perhaps) = self.server.expect.get(at) {
                self.server.expect.remove(at);
            }
        }
        self.server.under_way.block |= body.starts_with(b"BEGIN") || body.starts_with(b"START TRANSACTION");
        self.note_place(body);
        let dropped = body.starts_with(b"DROP ");
        let created = body.starts_with(b"CREATE ");
        if dropped || body.starts_with(b"ALTER ") || created && !self.is_temporary() {
            self.common.registry.outdate();
            self.server.under_way.defined = true;
        }
        if self.server.under_way.defined && body.starts_with(b"ROLLBACK") {
            self.common.registry.outdate();
        }
        if dropped && self.server.pinned.any(Stateful::TEMP) {
            self.server.touched = self.server.touched.with(Stateful::RELEASE);
        }
    }

    /// Statements have ended, all or one.
    fn note_forgotten(&mut self, body: &[u8]) {
        let verbatim = self.client.verbatim;
        let all = body.starts_with(b"DEALLOCATE ALL") || body.starts_with(b"DISCARD ALL");
        let gone = match self.server.expect.front_mut() {
            Some(Expect::Query(asked)) if all => asked.forgotten.take(),
            Some(Expect::Execute(_, forgotten)) if all && verbatim => forgotten.take(),
            Some(Expect::Query(asked)) if verbatim && body.starts_with(b"DEALLOCATE") => {
                let names = asked.deallocates.get_or_insert_with(|| {
                    asked.text.as_ref().map(|text| deallocated_in(text)).unwrap_or_default()
                });
                let name = names.pop_front();
                let old = name.zip(asked.forgotten.as_mut()).and_then(|(name, left)| left.put(&name, None));
                old.iter().for_each(|old| self.server.prepared.remove(old.id()));
                None
            }
            _ => None,
        };
        if let Some(gone) = gone.filter(|_| verbatim) {
            gone.statements().for_each(|old| self.server.prepared.remove(old.id()));
        }
    }

    /// Something is made in a place that nobody knows: `search_path` may be anything until the transaction is over.
    fn note_place(&mut self, body: &[u8]) {
        if body.starts_with(b"CREATE ") && self.server.under_way.reads.changed != 0 {
            self.server.touched = self.server.touched.with(Stateful::TEMP);
        }
    }

    /// Whether what ends makes something temporary.
    fn is_temporary(&self) -> bool {
        // Among other things, one that was not read.
        let unread = matches!(self.server.expect.front(), Some(Expect::Query(Asked { text, .. })) if text.as_deref() == Some(UNREAD));
        !unread && self.may(Stateful::TEMP)
    }

    /// Whether what ends may do this.
    fn may(&self, what: Stateful) -> bool {
        match self.server.expect.front() {
            Some(Expect::Execute(Some(statement), _)) => statement.stateful().any(what),
            Some(Expect::Query(Asked { stateful, .. })) => stateful.any(what),
            _ => false,
        }
    }

    /// A transaction is over. What it defined is gone if it was rolled back.
    pub(super) fn undefine(&mut self) {
        if std::mem::take(&mut self.server.under_way.defined) && self.server.erred {
            self.common.registry.outdate();
        }
    }

    /// A query of ours is over. If that ends a transaction, it was to roll it back.
    pub(super) fn rolled_back(&mut self, status: TxStatus) {
        if status == TxStatus::Idle && std::mem::take(&mut self.server.under_way.defined) {
            self.common.registry.outdate();
        }
    }

    /// A simple query that may have left something behind is over, of which so many statements ended well.
    pub(super) fn queried(&mut self, text: &[u8], done: u32, before: TxStatus, after: TxStatus) {
        self.follow_role(text, Some(done));
        let stateful = Stateful::of(text);
        let alone =
            before == TxStatus::Idle && after == TxStatus::Idle && !stateful.any(Stateful::TRANSACTION);
        if alone && self.server.erred {
            // All of it was rolled back, except what is never rolled back.
            self.leaves(stateful.surviving(), text, false);
            return;
        }
        // It takes everything away where it is alone, and PostgreSQL refuses it anywhere else.
        let refused = !alone && stateful.any(Stateful::DISCARD_ALL);
        let stateful =
            if refused { stateful.without(Stateful::DISCARD_ALL).with(SETTINGS) } else { stateful };
        self.leaves(stateful, text, alone);
    }

    /// An execution that may have left something behind is over.
    pub(super) fn executed(&mut self, stateful: Stateful, text: &[u8]) {
        self.follow_role(text, None);
        // Whether an error follows before Sync is not known yet, so only the backend can tell in the end, except
        // that most series end well: then the text tells.
        let alone = self.server.status == TxStatus::Idle
            && !self.server.under_way.block
            && !self.server.erred
            && matches!(self.server.expect.front(), Some(Expect::Sync))
            && !stateful.any(Stateful::TRANSACTION);
        self.leaves(stateful, text, alone);
    }

    /// An execution stopped at its limit of rows. Whether it goes on is not known, nor what it has done so far: many
    /// drivers ask for one row and leave it at that.
    pub(super) fn suspended(&mut self, stateful: Stateful, text: &[u8]) {
        self.follow_role(text, None);
        self.leaves(stateful, text, false);
    }

    /// What comes next fails.
    pub(super) fn failing(&mut self) {
        self.role_may_fail();
        match self.server.expect.front() {
            Some(Expect::Execute(Some(statement), _)) => {
                let statement = Arc::clone(statement);
                self.leaves(statement.stateful().surviving(), statement.text(), false);
            }
            // The end of the transaction: settings that its statements told for certain are undone.
            Some(Expect::Sync) => self.server.touched = self.server.touched.with(Stateful::SETTING),
            _ => {}
        }
    }

    /// Notes what was left behind: at once when the text tells all, else to be asked about.
    fn leaves(&mut self, stateful: Stateful, text: &[u8], alone: bool) {
        let resets = &mut self.server.under_way.resets;
        if stateful.any(Stateful::RESET) || !resets.is_empty() && stateful.any(SETS) {
            resets.note(text);
        }
        if stateful.any(Stateful::DISCARD_ALL) {
            self.server.applied.clear();
            self.server.process.unlisted = false;
            self.server.watch_settings();
            self.client.wanted = self.client.startup.clone();
        }
        let may_be_more = stateful.with(self.server.touched).with(self.server.process.watched);
        let mut certain = alone && !may_be_more.any(Stateful::UNKNOWN_SETTING);
        if certain && stateful.any(Stateful::SETTING) {
            certain = self.set(text);
        }
        if certain {
            self.explain(stateful, text);
        }
        let unsure = if certain { stateful.without(Stateful::SETTING) } else { stateful };
        may_have_run(self.client, self.server, unsure, text);
    }

    /// Settings that a text certainly changed. False when it changes so many that the backend is to be asked.
    fn set(&mut self, text: &[u8]) -> bool {
        let (client, server) = (&mut *self.client, &mut *self.server);
        let (mut overfull, mut changes) = (false, 0);
        classify(text, &mut |effect| {
            let Some(change) = Change::of(&effect).filter(|_| changes <= MAX_FOLLOWED) else { return };
            changes += 1;
            if let Change::Set { name, .. } | Change::Reset(name) = &change {
                overfull |= server.reads_as_another(name);
            }
            if let Change::Set { value, .. } = &change {
                overfull |= server.reads_as_another(value);
            }
            overfull |= apply(&change, &client.startup, &mut client.wanted).is_err();
            overfull |= apply(&change, &Settings::default(), &mut server.applied).is_err();
        });
        if overfull {
            client.keep(server);
        }
        server.watch_settings();
        changes <= MAX_FOLLOWED
    }

    /// Nothing is asked about settings: nobody has to know what was reset.
    fn forget_resets(&mut self) {
        let resets = &mut self.server.under_way.resets;
        if !resets.is_empty() && !self.server.ask.any(SETTINGS) {
            resets.forget();
        }
    }

    /// The backend is idle: what is left of the transaction?
    pub(super) fn transaction_ended(&mut self) {
        if self.server.expect.is_empty() {
            // Else some may be of a series that is under way.
            self.server.under_way.portals.clear();
        }
        self.server.erred = false;
        if !self.server.under_way.fetched.is_empty() {
            self.server.under_way.fetched.clear();
        }
        self.note_unexplained();
        let mut touched = std::mem::take(&mut self.server.touched).with(self.server.process.watched);
        if touched.is_empty() {
            self.forget_resets();
            return;
        }
        self.server.process.latent |= touched.any(Stateful::LATENT);
        if touched.any(Stateful::EXECUTES) && self.server.process.latent {
            touched = touched.with(Stateful::ANYTHING);
        }
        // Who keeps its backend keeps its settings, and leaves none of them to others.
        self.server.process.unlisted |= touched.any(Stateful::HIDDEN_SETTING) && !self.client.keeps;
        let pins = touched.and(Stateful::PINS);
        // Something may be over only for who has something.
        let over = if touched.any(Stateful::RELEASE) { self.server.pinned } else { Stateful::default() };
        let settings = touched.and(SETTINGS);
        self.server.ask = self.server.ask.with(pins).with(over).with(settings);
        self.forget_resets();
    }
}

/// A text may have been executed, or not: what it leaves behind is asked about.
pub(in crate::link) fn may_have_run(
    client: &mut Client,
    server: &mut Server,
    stateful: Stateful,
    text: &[u8],
) {
    if stateful.any(Stateful::TEMP) && !client.verbatim {
        // From now on names may mean what only this backend has.
        server.prepared.outdate_all();
    }
    server.spoiled |= stateful.any(Stateful::SPOILS);
    if stateful.any(SETTINGS) {
        note_names(client, server, text);
    }
    server.touched = server.touched.with(stateful.and(LATER.with(Stateful::SETTING)));
}

/// So that settings which cannot be listed are asked for by name, or reset.
fn note_names(client: &mut Client, server: &mut Server, text: &[u8]) {
    classify(text, &mut |effect| {
        let (Effect::Set { name, .. } | Effect::SetConfig { name: Some(name), .. }) = effect else {
            return;
        };
        // A name that was not read at all may be one of those.
        let hidden = name.is_empty() || may_be_hidden(&name);
        server.process.unlisted |= hidden && !client.keeps;
        if server.reads_as_another(&name) {
            client.keep(server);
        }
        if name.contains('.') {
            client.ask_by_name(server, &name);
        }
    });
}

/// Does to settings what a statement did outside a transaction.
fn apply(change: &Change, defaults: &Settings, current: &mut Settings) -> Result<(), Uncertain> {
    let mut tracker = Tracker::new(defaults.clone());
    tracker.replace(current.clone());
    tracker.apply(change)?;
    *current = tracker.current().clone();
    Ok(())
}
