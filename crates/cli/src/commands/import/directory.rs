//! From a stopped data directory: the server reads it, so it must be on the server's machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_api::client;
use dormouse_api::import::{ImportDirectory, ImportedProject};
use dormouse_api::operation::OperationStatus;

use super::Import;
use crate::commands::Context;
use crate::connect::http::Session;
use crate::error::Error;
use crate::ui::Table;

/// The pause between two looks at a long operation.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a copy is waited for (a day).
const MAX_LOOKS: u32 = 86_400;

/// Imports a directory.
pub(super) async fn run(args: &Import, cx: &Context) -> Result<(), Error> {
    only_for_addresses(args)?;
    let data_directory = absolute(&args.source)?;
    let session = cx.session()?;
    if !session.is_local() {
        return Err(Error::usage("a data directory can only be imported by a server on the same machine")
            .hint("Start the old server there, and import from its address (`postgresql://…`)."));
    }
    let request = ImportDirectory { data_directory, name: args.name.clone(), role_name: args.owner.clone() };
    let progress = cx.ui.progress("The server copies the directory");
    let mut imported = session.call(client::project::import(&request)).await?;
    wait(&session, &mut imported).await?;
    drop(progress);
    cx.ui.show(&imported, table)
}

/// Waits for an operation that took longer than the reply.
async fn wait(session: &Session, imported: &mut ImportedProject) -> Result<(), Error> {
    for _ in 0..MAX_LOOKS {
        let Some(operation) = imported.operations.first_mut() else { return Ok(()) };
        match operation.status {
            OperationStatus::Finished | OperationStatus::Skipped => return Ok(()),
            status if status.is_final() => {
                let why = operation.error.clone().unwrap_or_else(|| "see the server's log".to_owned());
                return Err(Error::failed(format!("the import did not work: {why}")));
            }
            _ => {}
        }
        tokio::time::sleep(PAUSE).await;
        *operation =
            session.call(client::operation::get(&imported.project.id, &operation.id)).await?.operation;
    }
    Ok(())
}

fn only_for_addresses(args: &Import) -> Result<(), Error> {
    let wrong = [
        (args.pg_version.is_some(), "--pg-version"),
        (!args.databases.is_empty(), "--database"),
        (args.jobs.is_some(), "--jobs"),
        (args.into.is_some(), "--into"),
        (args.schema_only, "--schema-only"),
        (args.roles, "--roles"),
        (args.any_locale, "--any-locale"),
        (args.no_verify, "--no-verify"),
        (args.temp.is_some(), "--temp"),
        (args.tools.is_some(), "--tools"),
    ];
    match wrong.iter().find(|(given, _)| *given) {
        Some((_, option)) => Err(Error::usage(format!("`{option}` is for addresses (`postgresql://…`)"))
            .hint("A data directory is imported as a whole, as it is.")),
        None => Ok(()),
    }
}

fn absolute(given: &str) -> Result<String, Error> {
    let path: PathBuf = std::path::absolute(Path::new(given))
        .map_err(|error| Error::usage(format!("`{given}` is not a path")).because(error))?;
    if !path.exists() {
        return Err(Error::not_found(format!("there is no directory {}", path.display()))
            .hint("An address begins with `postgresql://`."));
    }
    path.into_os_string().into_string().map_err(|_| Error::usage("the path is not UTF-8"))
}

fn table(imported: &ImportedProject) -> Table {
    let mut databases = Table::list(&["PROJECT", "POSTGRESQL", "DATABASE", "OWNER", "CONNECT"]);
    for (number, database) in imported.databases.iter().enumerate() {
        let connection = imported.connection_uris.get(number);
        databases.row([
            format!("{} ({})", imported.project.name, imported.project.id),
            imported.project.pg_version.to_string(),
            database.name.clone(),
            database.owner_name.clone(),
            connection.map(|uri| uri.connection_uri.expose().clone()).unwrap_or_default(),
        ]);
    }
    databases
}
