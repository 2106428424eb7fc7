//! `pgbouncer.ini`: so that a PgBouncer can be replaced without writing its configuration anew.
//!
//! ```text
//!   text ─► lines (sections, keys, comments, %include) ─► [pgbouncer] ─► Settings
//!                                                         [databases] ─► Database: where to, and a Layer
//!                                                         [users]     ─► User: a Layer
//!                                                         [peers]     ─► Peer
//! ```
//!
//! Nothing here opens a file: the caller hands in what reads an included one. Every error names file and line,
//! and none repeats a value that could be a password.

mod entries;
pub(super) mod lines;
mod pairs;

use std::borrow::Cow;
use std::fmt;

pub use entries::{Database, Peer, User};
use lines::{Line, Lines};

use super::error::ConfigError;
use super::settings::Settings;

/// How deep files may include each other.
pub const MAX_INCLUDE_DEPTH: usize = 10;

/// What a `pgbouncer.ini` says.
#[derive(Debug, Clone, Default)]
pub struct Ini {
    /// The section `[pgbouncer]`.
    pub settings: Settings,
    /// The section `[databases]`, in order. One may be named `*`.
    pub databases: Vec<Database>,
    /// The section `[users]`, in order.
    pub users: Vec<User>,
    /// The section `[peers]`, in order.
    pub peers: Vec<Peer>,
}

/// A file that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub struct IniError {
    /// As it was named.
    pub file: String,
    /// Counted from one.
    pub line: usize,
    /// What is wrong.
    #[source]
    pub problem: Problem,
}

impl fmt::Display for IniError {
    /// `pgbouncer.ini, line 7`; the problem is the source.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.file, self.line)
    }
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Not a section, a key, a comment or an include.
    #[error("expected `[section]`, `key = value`, `%include FILE` or a comment")]
    Syntax,
    /// A quote that is never closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// A key before the first section.
    #[error("a key must be in a section")]
    NoSection,
    /// A section that PgBouncer does not have.
    #[error("unknown section [{0}]: there are [pgbouncer], [databases], [users] and [peers]")]
    UnknownSection(String),
    /// A setting is wrong.
    #[error(transparent)]
    Setting(ConfigError),
    /// Not a list of `key=value`. What is there could be a part of a password, so it is told where it is: behind the value of
    /// this key, or at the beginning.
    #[error("expected `key=value` pairs, and quotes ' around values with spaces, {}", behind(.0.as_deref()))]
    Pairs(Option<String>),
    /// A key that a database or role cannot have.
    #[error("unknown parameter {0:?}")]
    UnknownKey(String),
    /// The same behind a password, of which it could be a part.
    #[error("unknown parameter behind password: quotes ' go around a password with spaces")]
    UnknownBehindPassword,
    /// A value that should be a port, a peer's number and so on.
    #[error("{0} must be {1}")]
    BadValue(&'static str, &'static str),
    /// The console's name.
    #[error("the name \"pgbouncer\" is the admin console's and cannot be a database's")]
    ReservedName,
    /// Files include each other too deeply, perhaps in a circle.
    #[error("files include each other more than {MAX_INCLUDE_DEPTH} deep")]
    TooDeep,
    /// An included file could not be read.
    #[error("cannot read the included file {file}")]
    Include {
        /// As it was named.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

fn behind(key: Option<&str>) -> String {
    key.map_or_else(|| "at the beginning".to_owned(), |key| format!("behind the value of {key}"))
}

#[derive(Clone, Copy)]
enum Section {
    Pgbouncer,
    Databases,
    Users,
    Peers,
}

/// Reads a file's text; what it does not set is as in PgBouncer. `include` reads a file that `%include` names.
///
/// # Errors
/// At the first line that cannot be understood.
pub fn parse(
    text: &str,
    file: &str,
    include: &mut dyn FnMut(&str) -> std::io::Result<String>,
) -> Result<Ini, IniError> {
    let ini = Ini { settings: Settings::of_pgbouncer(), ..Ini::default() };
    let mut reader = Reader { ini, section: None, include };
    reader.file(text, file, 0)?;
    Ok(reader.ini)
}

struct Reader<'a> {
    ini: Ini,
    /// Holds on in included files, and after them.
    section: Option<Section>,
    include: &'a mut dyn FnMut(&str) -> std::io::Result<String>,
}

impl Reader<'_> {
    fn file(&mut self, text: &str, file: &str, depth: usize) -> Result<(), IniError> {
        for (number, line) in Lines::new(text) {
            let at = |problem| IniError { file: file.to_owned(), line: number, problem };
            match line.map_err(at)? {
                Line::Section(name) => self.section = Some(section(name).map_err(at)?),
                Line::Include(name) => {
                    if depth + 1 >= MAX_INCLUDE_DEPTH {
                        return Err(at(Problem::TooDeep));
                    }
                    let text = (self.include)(name)
                        .map_err(|source| at(Problem::Include { file: name.to_owned(), source }))?;
                    self.file(&text, name, depth + 1)?;
                }
                Line::Key(key, value) => self.key(&key, value).map_err(at)?,
            }
        }
        Ok(())
    }

    fn key(&mut self, key: &str, value: &str) -> Result<(), Problem> {
        match self.section.ok_or(Problem::NoSection)? {
            Section::Pgbouncer => self.ini.settings.set(key, value).map_err(Problem::Setting)?,
            Section::Databases => {
                let database = Database::parse(key, value)?;
                self.ini.databases.retain(|known| known.name != key);
                self.ini.databases.push(database);
            }
            Section::Users => {
                let user = User::parse(key, value)?;
                self.ini.users.retain(|known| known.name != key);
                self.ini.users.push(user);
            }
            Section::Peers => self.ini.peers.push(Peer::parse(key, value)?),
        }
        Ok(())
    }
}

fn section(name: &str) -> Result<Section, Problem> {
    match name {
        "pgbouncer" => Ok(Section::Pgbouncer),
        "databases" => Ok(Section::Databases),
        "users" => Ok(Section::Users),
        "peers" => Ok(Section::Peers),
        other => Err(Problem::UnknownSection(other.to_owned())),
    }
}

impl Ini {
    /// The entry for a database that a client asks for: its own, else `*`.
    #[must_use]
    pub fn database(&self, name: &str) -> Option<&Database> {
        let find = |wanted: &str| self.databases.iter().find(|entry| entry.name == wanted);
        find(name).or_else(|| find("*"))
    }

    /// What is set for a role.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|entry| entry.name == name)
    }

    /// The settings of a pool: global, then the database's, then the role's. The global ones themselves where nothing
    /// lies above them: each login asks.
    #[must_use]
    pub fn settings_of(&self, database: &str, user: &str) -> Cow<'_, Settings> {
        let database = self.database(database).map(|entry| &entry.layer);
        let user = self.user(user).map(|entry| &entry.layer);
        let mut layers = database.into_iter().chain(user).filter(|layer| !layer.is_empty()).peekable();
        match layers.peek() {
            None => Cow::Borrowed(&self.settings),
            Some(_) => Cow::Owned(self.settings.with(layers)),
        }
    }
}

#[cfg(test)]
mod tests;
