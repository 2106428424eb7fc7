//! `dormouse branch diff`: the definitions of two branches, compared here.

use dormouse_api::schema::{CompareReply, SchemaQuery};
use dormouse_api::{client, schema};
use similar::TextDiff;

use super::Which;
use crate::args::name;
use crate::commands::{Context, connection_string};
use crate::connect::http::Session;
use crate::error::Error;
use crate::moment::Moment;
use crate::resolve::{self, Place};
use crate::ui::Format;

#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    which: Which,

    /// The branch to compare it with [default: with `--at` the same one as it is now, else its parent].
    #[arg(value_name = "OTHER", value_parser = name)]
    other: Option<String>,

    /// The database, of the same name on both sides [default: the oldest].
    #[arg(long, value_name = "DATABASE", value_parser = name)]
    database: Option<String>,

    /// Take BRANCH as it was: an LSN, a time, or a past such as -5m.
    #[arg(long, value_name = "LSN|TIME", allow_hyphen_values = true)]
    at: Option<Moment>,
}

/// One side of the comparison.
struct Side<'a> {
    place: &'a Place,
    at: Option<Moment>,
}

pub(super) async fn run(args: &Diff, session: &Session, cx: &Context) -> Result<(), Error> {
    let place = args.which.find(session).await?;
    let other = match (&args.other, args.at) {
        (Some(other), _) => {
            Some(resolve::branch(session, Some(place.project.id.as_str()), Some(other)).await?)
        }
        (None, Some(_)) => None,
        (None, None) => Some(parent(&place, session).await?),
    };
    let databases =
        session.call(client::database::list(&place.project.id, &place.branch.id)).await?.databases;
    let database = connection_string::choose(&databases, args.database.as_deref(), &place.branch.name)?;
    // From the old to the new: a parent, or a past, comes first.
    let (this, other) =
        (Side { place: &place, at: args.at }, Side { place: other.as_ref().unwrap_or(&place), at: None });
    let (from, to) = if args.other.is_none() && args.at.is_none() { (other, this) } else { (this, other) };
    let progress = cx.ui.progress("Reading the definitions");
    let before = definitions(&from, &database.name, session).await?;
    let after = definitions(&to, &database.name, session).await?;
    drop(progress);
    let diff = TextDiff::from_lines(&before.sql, &after.sql)
        .unified_diff()
        .header(&from.title(), &to.title())
        .to_string();
    match cx.ui.format() {
        Format::Table if diff.is_empty() => {
            cx.ui.note(&format!("{} and {} are the same.", from.title(), to.title()));
            Ok(())
        }
        Format::Table => cx.ui.text(&diff),
        Format::Json => cx.ui.json_line(&CompareReply { diff }),
    }
}

async fn parent(place: &Place, session: &Session) -> Result<Place, Error> {
    let Some(id) = &place.branch.parent_id else {
        return Err(Error::usage(format!("branch `{}` has no parent", place.branch.name))
            .hint("Name the branch to compare it with, or a time with `--at`."));
    };
    let branch = session.call(client::branch::get(&place.project.id, id)).await?.branch;
    Ok(Place { project: place.project.clone(), branch })
}

async fn definitions(
    side: &Side<'_>,
    database: &str,
    session: &Session,
) -> Result<schema::SchemaReply, Error> {
    let query = SchemaQuery {
        db_name: database.to_owned(),
        lsn: side.at.and_then(Moment::lsn),
        timestamp: side.at.and_then(Moment::time),
    };
    session.call(client::branch::schema(&side.place.project.id, &side.place.branch.id, &query)).await
}

impl Side<'_> {
    fn title(&self) -> String {
        let name = &self.place.branch.name;
        match self.at {
            None => name.clone(),
            Some(Moment::Lsn(lsn)) => format!("{name} at {lsn}"),
            Some(Moment::Time(at)) => format!("{name} at {at}"),
        }
    }
}
