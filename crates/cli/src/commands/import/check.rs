//! What can be checked only with a target, before anything is imported; and what it says of how each database
//! is to be made.

use dormouse_api::database::DatabaseLocale;

use super::databases::Pair;
use super::locale::{self, Locale};
use super::plan;
use super::psql::{self, Psql};
use super::server::Run;
use super::source::Contents;
use crate::error::{Class, Error};

/// How a database of the target is to be made.
#[derive(Debug, Default)]
pub(super) struct Making {
    /// One of that name is there, and a new one takes its place.
    pub(super) replace: bool,
    /// `None` = as the cluster's.
    pub(super) locale: Option<DatabaseLocale>,
    /// What is not as in the source.
    pub(super) notes: Vec<String>,
}

impl Run<'_> {
    /// All checks. Nothing has been imported yet.
    pub(super) async fn check(&self) -> Result<Vec<Making>, Error> {
        let there = self.target.databases().await?;
        let pairs = || self.source.databases.iter().map(|(pair, _)| pair);
        let door = match pairs().find(|pair| there.contains(&pair.target)).or_else(|| pairs().next()) {
            Some(pair) => pair.target.clone(),
            None => return Err(Error::not_found("there is nothing to import")),
        };
        // The project is asked in one of them, which is made if none is there.
        self.target.database(&door, &Making::default()).await?;
        let mut session = self.session(&door).await?;
        let sql = "SELECT json_agg(name) FROM pg_catalog.pg_available_extensions";
        let available: Vec<String> = session.ask(sql).await?;
        let cluster: Locale = session.ask(&format!("SELECT {}", Locale::question("'template1'"))).await?;
        drop(session);
        let (mut makings, mut unknown) = (Vec::new(), Vec::new());
        for (pair, contents) in &self.source.databases {
            let mut making = Making::default();
            let stays = there.contains(&pair.target) && !self.args.clean && !self.target.made;
            if stays {
                making.notes.extend(self.empty_and_alike(pair, contents).await?);
            } else if let Some(wanted) = contents.locale.wanted(&cluster) {
                match self.lacks(&door, &wanted).await? {
                    None => making.locale = Some(wanted),
                    Some(_) if self.args.any_locale => making.notes.push(differs(contents, &cluster)),
                    Some(why) => {
                        unknown.push(format!("`{}` has {} ({why})", pair.source, contents.locale.shown()));
                    }
                }
            }
            let is_there = there.contains(&pair.target) || pair.target == door;
            making.replace = is_there && (self.args.clean || making.locale.is_some());
            if contents.encoding != "UTF8" {
                making.notes.push(format!("its encoding was {} and is UTF8 here", contents.encoding));
            }
            makings.push(making);
        }
        let version = self.target.project.pg_version;
        plan::locales(&unknown, version)?;
        let wanted: Vec<(String, Vec<String>)> = self
            .source
            .databases
            .iter()
            .map(|(pair, contents)| (pair.source.clone(), contents.extensions.clone()))
            .collect();
        plan::extensions(&wanted, &available, version)?;
        Ok(makings)
    }

    /// A session in a database of the target.
    pub(super) async fn session(&self, database: &str) -> Result<Psql, Error> {
        Psql::open(self.tools, &self.target.login(database).await?, "target", self.scratch).await
    }

    /// A database that is there already is taken as it is: what is to be said of that.
    async fn empty_and_alike(&self, pair: &Pair, contents: &Contents) -> Result<Option<String>, Error> {
        let here = Contents::ask(&mut self.session(&pair.target).await?).await?;
        let refused = |what: String| {
            let (name, project) = (&pair.target, &self.target.project.name);
            Error::usage(format!("database `{name}` of project `{project}` {what}"))
                .hint("To remove it first, with everything in it: `--clean`.")
                .hint(format!("To import under another name: `--database {}=NAME`.", pair.source))
        };
        if !here.is_empty() {
            return Err(refused("is not empty".to_owned()));
        }
        if contents.locale.wanted(&here.locale).is_none() {
            return Ok(None);
        }
        if self.args.any_locale {
            return Ok(Some(differs(contents, &here.locale)));
        }
        let (has, source) = (here.locale.shown(), contents.locale.shown());
        Err(refused(format!("has {has}, the source {source}"))
            .hint("To import into it all the same, so that text is sorted differently: `--any-locale`."))
    }

    /// Why the target's server does not have a locale, if it does not.
    async fn lacks(&self, door: &str, wanted: &DatabaseLocale) -> Result<Option<String>, Error> {
        match self.session(door).await?.rows(&locale::probe(wanted)).await {
            Ok(_) => Ok(None),
            Err(error) if error.class() == Class::Unreachable => Err(error),
            Err(error) => Ok(Some(psql::words(&error.to_string()).to_owned())),
        }
    }
}

fn differs(contents: &Contents, here: &Locale) -> String {
    format!(
        "text is sorted and compared by {} here, in the source by {}",
        here.shown(),
        contents.locale.shown()
    )
}
