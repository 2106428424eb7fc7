//! `dormouse database …`.

use dormouse_api::database::{CreateDatabase, DatabaseLocale, LocaleProvider, NewDatabase};
use dormouse_api::{Database as Resource, client};

use super::Context;
use crate::args::{Consent, OnBranch, name};
use crate::error::Error;
use crate::resolve;
use crate::ui::{Table, time};

/// List, make and remove databases
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Database {
    /// List the databases of a branch
    List(List),
    /// Make a database
    Create(Create),
    /// Remove a database with all its data
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    on: OnBranch,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Its name.
    #[arg(value_parser = name)]
    database: String,

    /// The role that owns it [default: the owner of the branch's oldest database].
    #[arg(long, value_name = "ROLE", value_parser = name)]
    owner: Option<String>,

    #[command(flatten)]
    locale: Locale,

    #[command(flatten)]
    on: OnBranch,
}

/// How it sorts and compares text; the options are named as those of `createdb`.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sorting and comparing text")]
struct Locale {
    /// Whose rules it follows [default: libc when another of these options is given, else as the project's other
    /// databases].
    #[arg(long, value_name = "PROVIDER", value_enum)]
    locale_provider: Option<Provider>,

    /// The locale, such as `de-AT` (icu), `de_AT.UTF-8` (libc) or `C` (builtin). It cannot be changed later.
    #[arg(long, value_name = "LOCALE")]
    locale: Option<String>,

    /// The operating system's locale for sorting.
    #[arg(long, value_name = "LOCALE")]
    lc_collate: Option<String>,

    /// The operating system's locale for kinds of characters, such as upper and lower case.
    #[arg(long, value_name = "LOCALE")]
    lc_ctype: Option<String>,

    /// Further rules of sorting, with icu and PostgreSQL 16 and newer.
    #[arg(long, value_name = "RULES")]
    icu_rules: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Provider {
    /// The operating system of the server's machine
    Libc,
    /// The ICU library, if PostgreSQL was built with it
    Icu,
    /// PostgreSQL itself, from 17 on
    Builtin,
}

impl Locale {
    /// `None` when nothing was asked for.
    fn wanted(self) -> Option<DatabaseLocale> {
        let Self { locale_provider, locale: name, lc_collate, lc_ctype, icu_rules } = self;
        let parts = [&name, &lc_collate, &lc_ctype, &icu_rules];
        let provider = match locale_provider {
            None if parts.iter().all(|part| part.is_none()) => return None,
            None | Some(Provider::Libc) => LocaleProvider::Libc,
            Some(Provider::Icu) => LocaleProvider::Icu,
            Some(Provider::Builtin) => LocaleProvider::Builtin,
        };
        Some(DatabaseLocale { provider, name, lc_collate, lc_ctype, icu_rules })
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// The database.
    #[arg(value_parser = name)]
    database: String,

    #[command(flatten)]
    consent: Consent,

    #[command(flatten)]
    on: OnBranch,
}

pub(crate) async fn run(command: Database, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let on = match &command {
        Database::List(List { on })
        | Database::Create(Create { on, .. })
        | Database::Delete(Delete { on, .. }) => on,
    };
    let place = resolve::branch(&session, on.of.project.as_deref(), on.branch.as_deref()).await?;
    let (project, branch) = (&place.project.id, &place.branch.id);
    match command {
        Database::List(_) => {
            let list = session.call(client::database::list(project, branch)).await?;
            cx.ui.show(&list, |list| table(&list.databases))
        }
        Database::Create(args) => {
            let owner_name = match args.owner {
                Some(owner) => owner,
                None => owner(&session.call(client::database::list(project, branch)).await?.databases)?,
            };
            let locale = args.locale.wanted();
            let request =
                CreateDatabase { database: NewDatabase { name: args.database, owner_name, locale } };
            let made = session.call(client::database::create(project, branch, &request)).await?;
            cx.ui.show(&made, |made| table(std::slice::from_ref(&made.database)))
        }
        Database::Delete(args) => {
            let question = format!(
                "Database `{}` of branch `{}` and all its data will be removed.",
                args.database, place.branch.name
            );
            cx.ui.confirm(&question, args.consent.yes)?;
            let gone = session.call(client::database::delete(project, branch, &args.database)).await?;
            cx.ui.show(&gone, |gone| table(std::slice::from_ref(&gone.database)))
        }
    }
}

fn owner(databases: &[Resource]) -> Result<String, Error> {
    let oldest = databases.iter().min_by_key(|database| (database.created_at, database.id));
    oldest.map(|database| database.owner_name.clone()).ok_or_else(|| {
        Error::usage("there is no other database to take the owner from")
            .hint("Name one with `--owner ROLE`.")
    })
}

fn table(databases: &[Resource]) -> Table {
    let mut table = Table::list(&["NAME", "OWNER", "CREATED"]);
    for database in databases {
        table.row([database.name.clone(), database.owner_name.clone(), time(Some(database.created_at))]);
    }
    table
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        locale: Locale,
    }

    #[test]
    fn a_locale_is_asked_for_or_not() {
        let wanted = |options: &str| {
            let line = Line::try_parse_from(std::iter::once("create").chain(options.split_whitespace()));
            serde_json::to_value(line.unwrap().locale.wanted()).unwrap()
        };
        assert_eq!(wanted(""), serde_json::Value::Null);
        let icu = serde_json::json!({ "provider": "icu", "name": "de" });
        assert_eq!(wanted("--locale-provider icu --locale de"), icu);
        assert_eq!(wanted("--lc-ctype C"), serde_json::json!({ "provider": "libc", "lc_ctype": "C" }));
        // What says nothing is the server's to refuse.
        assert_eq!(wanted("--locale-provider builtin"), serde_json::json!({ "provider": "builtin" }));
    }
}
