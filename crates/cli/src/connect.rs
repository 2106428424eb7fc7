//! Finding the server: its address and a key for it.
//!
//! 1. `--data DIR`: the file `server.json` that a running server keeps in its data directory.
//! 2. `DORMOUSE_API_HOST` with `DORMOUSE_API_KEY`: a server anywhere.
//! 3. `server.json` in the default data directory.
//!
//! Sending is in [`http`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dormouse_api::server_file::{SERVER_FILE, ServerFile};
use dormouse_base::Secret;
use url::Url;

use crate::error::{Class, Error};
use crate::place;

pub(crate) mod http;
#[cfg(test)]
mod tests;

/// The address of the API, such as `http://127.0.0.1:5480/api/v2`.
pub(crate) const HOST_VARIABLE: &str = "DORMOUSE_API_HOST";

/// An API key.
pub(crate) const KEY_VARIABLE: &str = "DORMOUSE_API_KEY";

/// A server to talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Ends with `/api/v2`, without a slash after it.
    pub(crate) api: Url,
    /// Sent as `Authorization: Bearer`.
    pub(crate) key: Secret<String>,
    /// Where this was learnt, for error texts.
    pub(crate) origin: Origin,
}

/// Where a [`Target`] was learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The file of a local server.
    File {
        /// The data directory.
        data: PathBuf,
        /// The server's process ID.
        pid: u32,
    },
    /// The environment variables.
    Environment,
}

/// Finds the server.
///
/// # Errors
/// When nothing tells where it is, or what tells it cannot be read.
pub(crate) fn find(data: Option<&Path>) -> Result<Target, Error> {
    find_with(data, |name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn find_with(data: Option<&Path>, variable: impl Fn(&str) -> Option<String>) -> Result<Target, Error> {
    if let Some(data) = data {
        return from_file(data);
    }
    match (variable(HOST_VARIABLE), variable(KEY_VARIABLE)) {
        (Some(host), Some(key)) => Ok(Target {
            api: address(&host, HOST_VARIABLE)?,
            key: Secret::new(key),
            origin: Origin::Environment,
        }),
        (Some(_), None) => Err(Error::usage(format!("{HOST_VARIABLE} is set, but {KEY_VARIABLE} is not"))
            .hint("Make a key on the server's machine with `dormouse api-key create NAME`.")),
        (None, _) => from_file(&place::data_directory(None)?),
    }
}

fn from_file(data: &Path) -> Result<Target, Error> {
    let path = data.join(SERVER_FILE);
    let shown = path.display();
    let text = fs::read(&path).map_err(|error| unreadable(data, &path, error))?;
    let file: ServerFile = serde_json::from_slice(&text).map_err(|error| {
        Error::failed(format!("{shown} is damaged"))
            .hint("Restart the server; it writes the file anew.")
            .because(error)
    })?;
    let origin = Origin::File { data: data.to_owned(), pid: file.pid };
    Ok(Target { api: address(&file.api, &shown.to_string())?, key: file.api_key, origin })
}

fn unreadable(data: &Path, path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Error::unreachable(format!("no server runs on the data directory {}", data.display()))
                .hint(format!("Start one with `dormouse up --data {}`.", data.display()))
                .hint(format!("For a server elsewhere use `--data`, or {HOST_VARIABLE} and {KEY_VARIABLE}."))
        }
        io::ErrorKind::PermissionDenied => {
            Error::new(Class::Refused, format!("you may not read {}", path.display()))
                .hint("Run this as the user who started the server, or ask them for an API key.")
                .hint(format!("Then set {HOST_VARIABLE} and {KEY_VARIABLE}."))
        }
        _ => Error::failed(format!("cannot read {}", path.display())).because(error),
    }
}

/// Reads an API address; a bare `http://host:port` gets the API's path.
fn address(text: &str, origin: &str) -> Result<Url, Error> {
    let wrong = || {
        Error::usage(format!("`{text}` in {origin} is not the address of an API"))
            .hint("Write it like `http://127.0.0.1:5480/api/v2`.")
    };
    let mut url = Url::parse(text).map_err(|error| wrong().because(error))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(if path.is_empty() { dormouse_api::routes::BASE } else { &path });
    Ok(url)
}
