//! Looks at databases, directories and the store. Each looker has its file: [`truth`] compares with
//! what clients know, [`consistency`] a database with itself, [`structure`] asks PostgreSQL about
//! its heap and indexes, [`files`] reads the stopped directory; [`end`] is everything, at the end of a run.

pub(crate) mod consistency;
pub(crate) mod end;
mod files;
mod structure;
mod truth;

use std::time::Duration;

use tokio_postgres::{Client, Error};

use super::chaos::branches::{self, Branch};
use super::history::Life;
use super::site::Site;
use super::world::connect;

/// A branch that does not answer within this time does not work.
pub(crate) const WORKS_WITHIN: Duration = Duration::from_secs(60);

/// Looks at the main branch while clients write.
pub(crate) fn under_load(site: &Site) {
    let life = site.world.history.lock().unwrap().main();
    let tried = site.runtime.block_on(async {
        let client = connect(&site.project.dsn).await?;
        truth::compare(&site.world, &client, life, "main").await?;
        consistency::sums(&site.world, &client, "main").await
    });
    match tried {
        Ok(()) => site.world.say("check", "main: rows and sums are right so far"),
        Err(error) => site.world.say("check", &format!("main could not be looked at: {error}")),
    }
}

/// Looks at a branch.
pub(crate) fn branch(site: &Site, branch: &Branch) {
    let Some(dsn) = branches::dsn(site, branch) else {
        return site.world.say("check", &format!("{}: no connection string", branch.name));
    };
    database(site, &dsn, branch.life, &branch.name);
}

/// Looks at a database that nobody else writes to.
fn database(site: &Site, dsn: &str, life: Life, name: &str) {
    let fair = site.weather.is_fair();
    if fair && !site.works_at(dsn, name, WORKS_WITHIN) {
        return;
    }
    let tried = site.runtime.block_on(async {
        let client = connect(dsn).await?;
        settle(&client).await?;
        truth::compare(&site.world, &client, life, name).await?;
        consistency::sums(&site.world, &client, name).await?;
        consistency::all(&site.world, &client, dsn, name).await?;
        structure::all(&site.world, &client, name).await
    });
    match tried {
        Ok(()) => site.world.say("check", &format!("{name}: looked at")),
        Err(error) if fair => {
            let why = dormouse_base::causes::with_causes(&error);
            site.world.complain("check", &format!("{name}: {why}"));
        }
        Err(error) => site.world.say("check", &format!("{name} could not be looked at: {error}")),
    }
}

/// Ends what is in its second phase, as whoever coordinates them would.
async fn settle(client: &Client) -> Result<(), Error> {
    for row in
        client.query("select gid from pg_prepared_xacts where database = current_database()", &[]).await?
    {
        let gid: String = row.get(0);
        client.batch_execute(&format!("commit prepared '{gid}'")).await?;
    }
    Ok(())
}
