//! What can be typed on the console.
//!
//! ```text
//!   WORD [WORD] [;]          SHOW POOLS;   PAUSE "my-db"   KILL_CLIENT 7
//!   SET WORD (= | TO) VALUE  SET server_lifetime = 300     SET pool_mode TO 'session'
//! ```
//!
//! A word is `[0-9a-z_]+` in any case, or in double quotes; a value can be in single quotes. A doubled quote is
//! one. SELECT is another word for SHOW. What is only comment or white space is an empty query.

use super::error::AdminError;
use super::show::Show;

/// Longest command that an error repeats, in characters.
const MAX_SHOWN: usize = 200;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Nothing but white space: a driver's ping.
    Empty,
    /// SHOW.
    Show(Show),
    /// SHOW of a parameter that drivers ask servers for; there is only one answer.
    ShowParameter {
        /// Its name, which is the column's.
        name: &'static str,
        /// The answer.
        value: &'static str,
    },
    /// SET of a setting.
    Set {
        /// Its name, not looked up yet.
        name: String,
        /// Its value.
        value: String,
    },
    /// SET of such a parameter: taken, and ignored.
    SetIgnored,
    /// RELOAD: read the configuration again.
    Reload,
    /// PAUSE of a database, or of all. The answer comes when it is paused.
    Pause(Option<String>),
    /// RESUME of a database, or of all.
    Resume(Option<String>),
    /// DISABLE: take no new clients for a database.
    Disable(String),
    /// ENABLE: take them again.
    Enable(String),
    /// RECONNECT: replace backends of a database, or all.
    Reconnect(Option<String>),
    /// KILL: cut clients and backends of a database, or all.
    Kill(Option<String>),
    /// KILL_CLIENT: cut one client, by the `id` of SHOW CLIENTS.
    KillClient(u64),
    /// WAIT_CLOSE: answer when the backends that RECONNECT wants closed are closed.
    WaitClose(Option<String>),
    /// SUSPEND: stop reading, and let buffers drain.
    Suspend,
    /// SHUTDOWN.
    Shutdown(ShutdownMode),
    /// TAKEOVER: give the listening sockets to whoever asks, a new process of the same pooler.
    Takeover {
        /// TAKEOVER CLIENTS: and clients, as they come to rest.
        clients: bool,
    },
}

/// What SHUTDOWN waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShutdownMode {
    /// Nothing.
    Immediate,
    /// Transactions.
    WaitForServers,
    /// Clients.
    WaitForClients,
}

/// Parameters of servers that drivers read or set without need.
const PARAMETERS: [(&str, &str); 5] = [
    ("client_encoding", "UTF-8"),
    ("default_transaction_isolation", "read committed"),
    ("standard_conforming_strings", "on"),
    ("datestyle", "ISO"),
    ("timezone", "GMT"),
];

/// Reads a command.
///
/// # Errors
/// When it is none. Whether the client may run it is not asked here: see [`Command::needs_admin`].
pub fn parse(query: &str) -> Result<Command, AdminError> {
    let invalid = || AdminError::Invalid(query.chars().take(MAX_SHOWN).collect());
    let mut rest = Rest(query);
    rest.skip();
    if rest.0.is_empty() {
        return Ok(Command::Empty);
    }
    if is_of_poolers(rest.0) {
        return Ok(Command::SetIgnored);
    }
    let verb = rest.word().ok_or_else(invalid)?.to_ascii_lowercase();
    if verb == "set" {
        let (name, value) = rest.assignment().ok_or_else(invalid)?;
        return if name.is_empty() { Err(AdminError::BadArguments) } else { Ok(set(name, value)) };
    }
    let argument = rest.word();
    rest.skip();
    if !rest.0.is_empty() {
        return Err(invalid());
    }
    command(&verb, argument, invalid)
}

/// What poolers say when the console is a server behind them: it has no session that they could set up or clean.
fn is_of_poolers(text: &str) -> bool {
    const BEGINNINGS: [&str; 4] =
        ["select pg_catalog.set_config(", "reset ", "discard all", "deallocate all"];
    let begins = |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    BEGINNINGS.iter().any(|with| begins(with))
}

fn command(
    verb: &str,
    argument: Option<String>,
    invalid: impl Fn() -> AdminError,
) -> Result<Command, AdminError> {
    let argument = argument.filter(|name| !name.is_empty());
    let alone = |command| if argument.is_none() { Ok(command) } else { Err(invalid()) };
    match verb {
        "show" | "select" => show(&argument.unwrap_or_default()).ok_or_else(invalid),
        "reload" => alone(Command::Reload),
        "suspend" => alone(Command::Suspend),
        "takeover" => match argument.as_deref() {
            None => Ok(Command::Takeover { clients: false }),
            Some(word) if word.eq_ignore_ascii_case("clients") => Ok(Command::Takeover { clients: true }),
            Some(_) => Err(invalid()),
        },
        "pause" => Ok(Command::Pause(argument)),
        "resume" => Ok(Command::Resume(argument)),
        "reconnect" => Ok(Command::Reconnect(argument)),
        "kill" => Ok(Command::Kill(argument)),
        "wait_close" => Ok(Command::WaitClose(argument)),
        "disable" => argument.map(Command::Disable).ok_or(AdminError::DatabaseRequired),
        "enable" => argument.map(Command::Enable).ok_or(AdminError::DatabaseRequired),
        "kill_client" => {
            let id = argument.and_then(|id| id.parse().ok());
            id.map(Command::KillClient).ok_or(AdminError::InvalidClient)
        }
        "shutdown" => match argument.map(|word| word.to_ascii_lowercase()).as_deref() {
            None => Ok(Command::Shutdown(ShutdownMode::Immediate)),
            Some("wait_for_servers") => Ok(Command::Shutdown(ShutdownMode::WaitForServers)),
            Some("wait_for_clients") => Ok(Command::Shutdown(ShutdownMode::WaitForClients)),
            Some(_) => Err(invalid()),
        },
        _ => Err(invalid()),
    }
}

fn parameter(name: &str) -> Option<(&'static str, &'static str)> {
    PARAMETERS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
}

fn show(name: &str) -> Option<Command> {
    match parameter(name) {
        Some((name, value)) => Some(Command::ShowParameter { name, value }),
        None => Show::named(name).map(Command::Show),
    }
}

fn set(name: String, value: String) -> Command {
    if parameter(&name).is_some() { Command::SetIgnored } else { Command::Set { name, value } }
}

impl Command {
    /// Whether only the roles of `admin_users` may run it; others of `stats_users` may look.
    #[must_use]
    pub const fn needs_admin(&self) -> bool {
        match self {
            // Clients' passwords are not shown, but PgBouncer guards it, and scripts may count on that.
            Self::Show(show) => matches!(show, Show::Fds),
            Self::Empty | Self::ShowParameter { .. } | Self::SetIgnored => false,
            _ => true,
        }
    }

    /// The word of CommandComplete. Of SET it is the whole assignment.
    #[must_use]
    pub fn tag(&self) -> String {
        let word = match self {
            Self::Empty => "",
            Self::Show(_) | Self::ShowParameter { .. } => "SHOW",
            Self::Set { name, value } => return format!("SET {name}={value}"),
            Self::SetIgnored => "SET",
            Self::Reload => "RELOAD",
            Self::Pause(_) => "PAUSE",
            Self::Resume(_) => "RESUME",
            Self::Disable(_) => "DISABLE",
            Self::Enable(_) => "ENABLE",
            Self::Reconnect(_) => "RECONNECT",
            Self::Kill(_) => "KILL",
            Self::KillClient(_) => "KILL_CLIENT",
            Self::WaitClose(_) => "WAIT_CLOSE",
            Self::Suspend => "SUSPEND",
            Self::Shutdown(_) => "SHUTDOWN",
            Self::Takeover { .. } => "TAKEOVER",
        };
        word.to_owned()
    }
}

/// What is left to read.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    /// White space, comments and semicolons.
    fn skip(&mut self) {
        loop {
            self.0 = self.0.trim_start_matches([' ', '\t', '\n', '\r', ';']);
            let Some(comment) = self.0.strip_prefix("--") else { return };
            self.0 = comment.split_once('\n').map_or("", |(_, after)| after);
        }
    }

    fn word(&mut self) -> Option<String> {
        let text = self.0.trim_start();
        if text.starts_with('"') {
            return self.quoted(text, '"');
        }
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        // A word ends at a space, a sign or the end, not in the middle of something else.
        let (word, after) = text.split_at(end);
        let ends = after.is_empty() || after.starts_with([' ', '\t', '\n', '\r', ';', '=', '-']);
        (!word.is_empty() && ends).then(|| {
            self.0 = after;
            word.to_owned()
        })
    }

    fn quoted(&mut self, text: &str, quote: char) -> Option<String> {
        let mut rest = &text[1..];
        let mut out = String::new();
        loop {
            let (before, after) = rest.split_once(quote)?;
            out.push_str(before);
            rest = after;
            match rest.strip_prefix(quote) {
                Some(more) => rest = more,
                None => break,
            }
            out.push(quote);
        }
        let used = self.0.len() - rest.len();
        self.0 = &self.0[used..];
        Some(out)
    }

    /// What stands after SET.
    fn assignment(&mut self) -> Option<(String, String)> {
        let name = self.word()?;
        let text = self.0.trim_start();
        self.0 = match text.strip_prefix('=') {
            Some(after) => after,
            None => {
                let to = text.get(..2).filter(|to| to.eq_ignore_ascii_case("to"))?;
                text.strip_prefix(to)?
            }
        };
        let text = self.0.trim_start();
        let value = if text.starts_with('\'') { self.quoted(text, '\'')? } else { self.word()? };
        self.skip();
        self.0.is_empty().then_some((name, value))
    }
}
