//! A client-only build: what needs the server says so.

use std::path::PathBuf;

use crate::commands::Context;
use crate::commands::doctor::{Doctor, Finding};
use crate::commands::pool::Pool;
use crate::commands::recover::{Recover, Recovered};
use crate::commands::up::Up;
use crate::error::Error;

pub(crate) fn up(_: Up, _: Context) -> Result<(), Error> {
    Err(missing())
}

pub(crate) fn pool(_: &Pool, _: &Context) -> Result<(), Error> {
    Err(missing())
}

pub(crate) fn examine(_: Doctor, _: &Context) -> Result<Vec<Finding>, Error> {
    Err(missing())
}

pub(crate) fn recover(_: &Recover, _: &Context) -> Result<Recovered, Error> {
    Err(missing())
}

pub(crate) fn psql_of_installation() -> Option<PathBuf> {
    None
}

pub(crate) fn installation_directories() -> Vec<PathBuf> {
    Vec::new()
}

fn missing() -> Error {
    Error::failed("this `dormouse` is a client only; it was built without the server")
        .hint("Use a full build, or make one with `cargo build -p dormouse-cli --features server`.")
}
