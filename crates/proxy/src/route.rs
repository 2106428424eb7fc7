//! Which endpoint a client means. Pure: the routing forms of DESIGN §7.1 as one function.
//!
//! | form | example | for whom |
//! |---|---|---|
//! | TLS server name | `ep-quiet-oak-x7[-pooler].db.example` | everybody with TLS and a host name |
//! | `options` word | `options=endpoint=ep-quiet-oak-x7` | no server name (old drivers, IP addresses) |
//! | database name | `app@branch`, `app@project/branch` | no wildcard DNS, people at a prompt |
//! | in the password | `endpoint=ep-quiet-oak-x7;secret` | drivers that can do none of these |
//! | none | | the default project's default branch |
//!
//! Two forms in one connection must agree. The password form is only known after the client was
//! asked for its password, so [`from_password`] stands apart.

use dormouse_pgwire::options;
use dormouse_pgwire::startup::Params;
use dormouse_pooler::config::{PoolMode, Value};

/// The suffix of endpoint names that asks for a pooled connection.
pub const POOLER_SUFFIX: &str = "-pooler";

/// Longest name that is looked up, in bytes.
const MAX_NAME: usize = 128;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Nothing: the default project's default branch.
    Default,
    /// An endpoint by its ID.
    Endpoint(String),
    /// A branch by ID or name, in a project by ID or name, or in the default project.
    Branch {
        /// The project.
        project: Option<String>,
        /// The branch.
        branch: String,
    },
}

/// A route with what else its form said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// Where to.
    pub route: Route,
    /// How the connection is to be pooled; `None` = it is not.
    pub mode: Option<Pooling>,
}

/// How a pooled connection was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// As the settings of its pool say.
    AsSet,
    /// In this mode, whatever they say.
    Mode(PoolMode),
}

/// Why no route could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Two forms disagree.
    #[error("the connection names two different endpoints: \"{0}\" and \"{1}\"")]
    Differ(String, String),
    /// There is no such pool mode.
    #[error("pool_mode \"{0}\" is not known: write transaction, session or statement")]
    PoolMode(String),
    /// A name is empty or too long.
    #[error("\"{0}\" does not name a branch: write database@branch or database@project/branch")]
    Unreadable(String),
}

/// Finds the route and takes the words that were only meant for us out of the parameters.
///
/// # Errors
/// When two forms disagree or a name is unreadable.
pub fn find(server_name: Option<&str>, params: &mut Params) -> Result<Routed, RouteError> {
    let by_server_name = server_name.and_then(endpoint_in_host);
    let by_options = take_option(params);
    let by_database = take_branch(params)?;
    let mut found: Vec<(String, Route)> = Vec::new();
    for name in [by_server_name, by_options].into_iter().flatten() {
        let id = name.strip_suffix(POOLER_SUFFIX).unwrap_or(&name).to_owned();
        found.push((name, Route::Endpoint(id)));
    }
    found.extend(by_database);
    let by_name = found.iter().any(|(text, _)| text.ends_with(POOLER_SUFFIX)).then_some(Pooling::AsSet);
    let mode = take_mode(params)?.or(by_name);
    let mut routes = found.into_iter();
    let Some((first_text, first)) = routes.next() else {
        return Ok(Routed { route: Route::Default, mode });
    };
    match routes.find(|(_, other)| *other != first) {
        Some((other, _)) => Err(RouteError::Differ(first_text, other)),
        None => Ok(Routed { route: first, mode }),
    }
}

/// Takes `pool_mode=…` and `pgbouncer=true`, which some drivers pass on, out of the parameters and options.
fn take_mode(params: &mut Params) -> Result<Option<Pooling>, RouteError> {
    let mut word = |name: &str| {
        let parameter = params.remove(name).and_then(|value| String::from_utf8(value).ok());
        let Some(text) = params.options().map(str::to_owned) else { return parameter };
        let (option, rest) = options::take_word(&text, name);
        if option.is_some() {
            set_or_remove(params, "options", rest.filter(|rest| !rest.is_empty()));
        }
        option.or(parameter)
    };
    let (by_mode, by_flag) = (word("pool_mode"), word("pgbouncer"));
    if let Some(mode) = by_mode {
        return match PoolMode::read(&mode) {
            Some(mode) => Ok(Some(Pooling::Mode(mode))),
            None => Err(RouteError::PoolMode(mode)),
        };
    }
    Ok(by_flag.filter(|flag| flag == "true").map(|_| Pooling::AsSet))
}

/// `ep-quiet-oak-x7.db.example` names an endpoint, `localhost` does not.
fn endpoint_in_host(host: &str) -> Option<String> {
    let label = host.split('.').next()?.to_ascii_lowercase();
    label.starts_with("ep-").then_some(label)
}

/// Takes `endpoint=…` out of the `options` parameter; the rest goes on to PostgreSQL.
fn take_option(params: &mut Params) -> Option<String> {
    let text = params.options()?.to_owned();
    let (endpoint, rest) = options::take_word(&text, "endpoint");
    if endpoint.is_some() {
        set_or_remove(params, "options", rest.filter(|rest| !rest.is_empty()));
    }
    endpoint.filter(|name| !name.is_empty() && name.len() <= MAX_NAME)
}

/// Takes `@branch` or `@project/branch` off the database name.
fn take_branch(params: &mut Params) -> Result<Option<(String, Route)>, RouteError> {
    let Some(database) = params.database().map(str::to_owned) else { return Ok(None) };
    let Some((name, place)) = database.rsplit_once('@') else { return Ok(None) };
    let readable = |part: &str| !part.is_empty() && part.len() <= MAX_NAME;
    let (project, branch) = match place.split_once('/') {
        Some((project, branch)) => (Some(project), branch),
        None => (None, place),
    };
    if !readable(name) || !readable(branch) || project.is_some_and(|p| !readable(p)) {
        return Err(RouteError::Unreadable(database.chars().take(MAX_NAME).collect()));
    }
    let route = match branch.strip_suffix(POOLER_SUFFIX).unwrap_or(branch) {
        id if id.starts_with("ep-") && project.is_none() => Route::Endpoint(id.to_owned()),
        name => Route::Branch { project: project.map(str::to_owned), branch: name.to_owned() },
    };
    set_or_remove(params, "database", Some(name.to_owned()));
    Ok(Some((place.to_owned(), route)))
}

fn set_or_remove(params: &mut Params, name: &str, value: Option<String>) {
    match value {
        Some(value) => params.set(name, value).expect("a part of a value without NUL has no NUL"),
        None => drop(params.remove(name)),
    }
}

/// Reads the password form: `endpoint=ep-x;secret` or `endpoint=ep-x$secret`.
#[must_use]
pub fn from_password(password: &[u8]) -> Option<(Routed, &[u8])> {
    let rest = password.strip_prefix(b"endpoint=")?;
    let end = rest.iter().position(|b| matches!(b, b';' | b'$'))?;
    let name = std::str::from_utf8(&rest[..end]).ok().filter(|n| !n.is_empty() && n.len() <= MAX_NAME)?;
    let id = name.strip_suffix(POOLER_SUFFIX).unwrap_or(name).to_owned();
    let mode = name.ends_with(POOLER_SUFFIX).then_some(Pooling::AsSet);
    Some((Routed { route: Route::Endpoint(id), mode }, &rest[end + 1..]))
}

#[cfg(test)]
mod tests;
