//! Branches of now, of the past and of branches; restores of the main branch; and looking at them.
//!
//! Each branch is a life in [`super::super::history`], with the ticks between which its place lies.
//! A request without an answer (the server died) is looked up again: what exists then, counts.

use serde_json::Value;

use super::super::check;
use super::super::history::{Cut, Life};
use super::super::seed::Seed;
use super::super::site::{Mark, Refusal, Site};
use super::sleep::first_line;

/// More are not kept at a time: each may be a running PostgreSQL.
const BRANCHES: usize = 4;

/// A restore keeps the old data too, so there are not many in one run.
const RESTORES: u32 = 3;

/// Commits in the same microsecond as a mark's time would be on neither side of it.
const AROUND_A_TIME: std::time::Duration = std::time::Duration::from_millis(3);

/// A branch that was made.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    pub(crate) name: String,
    /// Empty when the reply that told it was lost.
    pub(crate) dsn: String,
    pub(crate) life: Life,
}

/// Notes a place of the main branch that can be asked for later.
pub(super) fn mark(site: &mut Site) {
    let life = site.world.history.lock().unwrap().main();
    let before = site.world.ledger.tick();
    let read = site.runtime.block_on(async {
        let client = super::super::world::connect(&site.project.dsn).await?;
        tokio::time::sleep(AROUND_A_TIME).await;
        // What is flushed, because a crash may give the places behind it to others.
        let place = client
            .query_one(
                "select pg_current_wal_flush_lsn()::text, \
                 to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
                &[],
            )
            .await?;
        tokio::time::sleep(AROUND_A_TIME).await;
        Ok::<_, tokio_postgres::Error>((place.get::<_, String>(0), place.get::<_, String>(1)))
    });
    if let Ok((lsn, time)) = read {
        let cut = Cut { before, after: site.world.ledger.tick() };
        site.world
            .say("chaos", &format!("mark {} {lsn} {time} (ticks {before}–{})", site.marks.len(), cut.after));
        site.marks.push(Mark { life, cut, lsn, time });
    }
}

/// A branch of the main branch as it is now.
pub(super) fn of_head(site: &mut Site) {
    let from = site.world.history.lock().unwrap().main();
    if let Some(cut) = create(site, &[], from, None) {
        site.stored = cut.before;
    }
}

/// A branch at a mark, by position or by time.
pub(super) fn of_past(site: &mut Site, draw: &mut Seed) {
    if site.marks.is_empty() {
        return mark(site);
    }
    let at = draw.one_of(&site.marks).clone();
    let place = if draw.percent(50) { &at.lsn } else { &at.time };
    create(site, &["--at", place], at.life, Some(at.cut));
}

/// A branch of a branch, which may never have run.
pub(super) fn of_branch(site: &mut Site, draw: &mut Seed) {
    if site.branches.is_empty() {
        return of_head(site);
    }
    let parent = draw.one_of(&site.branches).clone();
    let all = Cut { before: u64::MAX, after: u64::MAX };
    create(site, &["--parent", &parent.name], parent.life, Some(all));
}

/// Makes a branch and its life; the place is that of the request unless it is given.
fn create(site: &mut Site, words: &[&str], from: Life, place: Option<Cut>) -> Option<Cut> {
    if site.branches.len() >= BRANCHES || !site.world.room.load(std::sync::atomic::Ordering::Relaxed) {
        return None;
    }
    let before = site.world.ledger.tick();
    let name = format!("b{before}");
    let made = site.ask(&[&["branch", "create", &name], words].concat());
    let made = made.or_else(|refusal| found_again(site, &name, refusal));
    let cut = place.unwrap_or_else(|| Cut { before, after: site.world.ledger.tick() });
    match made {
        Ok(reply) => {
            let life = site.world.history.lock().unwrap().branch(from, cut);
            let dsn = dsn_of(&reply);
            site.world
                .say("chaos", &format!("branch {name} {words:?} made (ticks {}–{})", cut.before, cut.after));
            site.branches.push(Branch { name, dsn, life });
            Some(cut)
        }
        Err(refusal) => {
            site.world
                .say("chaos", &format!("branch create {words:?} refused: {}", first_line(&refusal.text)));
            None
        }
    }
}

fn dsn_of(reply: &Value) -> String {
    reply["connection_uris"][0]["connection_uri"].as_str().unwrap_or_default().to_owned()
}

/// Whether it was made although the reply did not arrive.
fn found_again(site: &mut Site, name: &str, refusal: Refusal) -> Result<Value, Refusal> {
    let answered = matches!(refusal.status, 1..=3 | 5) && site.server.ended().is_none();
    if answered {
        return Err(refusal);
    }
    if site.server.ended().is_some() {
        site.start_again(super::super::weather::Weather::fair());
    }
    site.ask(&["branch", "get", name]).map_err(|_| refusal)
}

/// Looks at a branch: it must have what it must have.
pub(super) fn check_one(site: &mut Site, draw: &mut Seed) {
    if !site.branches.is_empty() {
        let branch = draw.one_of(&site.branches).clone();
        check::branch(site, &branch);
    }
}

/// The connection string of a branch, asked for when it is not known.
pub(crate) fn dsn(site: &Site, branch: &Branch) -> Option<String> {
    if !branch.dsn.is_empty() {
        return Some(branch.dsn.clone());
    }
    let reply = site.ask(&["connection-string", &branch.name]).ok()?;
    let text = reply.as_str().or_else(|| reply["uri"].as_str()).or_else(|| reply["connection_uri"].as_str());
    text.map(str::to_owned)
}

pub(super) fn delete_one(site: &mut Site, draw: &mut Seed) {
    if site.branches.is_empty() {
        return;
    }
    let branch = draw.one_of(&site.branches).clone();
    match site.ask(&["branch", "delete", &branch.name, "--yes"]) {
        Ok(_) => {
            site.world.say("chaos", &format!("branch {} deleted", branch.name));
            site.branches.retain(|other| other.name != branch.name);
        }
        Err(refusal) if refusal.status == 3 => site.branches.retain(|other| other.name != branch.name),
        Err(refusal) => {
            site.world.say("chaos", &format!("branch delete {}: {}", branch.name, first_line(&refusal.text)));
        }
    }
}

/// Gives the main branch the data of a mark; clients go on with the same connection string.
pub(super) fn restore(site: &mut Site, draw: &mut Seed) {
    if site.restores >= RESTORES || site.marks.is_empty() {
        return;
    }
    let at = draw.one_of(&site.marks).clone();
    let was_reset = last_reset(site);
    let before = site.world.ledger.tick();
    let done = site.ask(&["branch", "restore", "main", "--at", &at.lsn]);
    if let Err(refusal) = &done {
        let answered = matches!(refusal.status, 1..=3 | 5) && site.server.ended().is_none();
        if !answered && site.server.ended().is_some() {
            site.start_again(super::super::weather::Weather::fair());
        }
        if last_reset(site) == was_reset {
            return site.world.say("chaos", &format!("restore refused: {}", first_line(&refusal.text)));
        }
    }
    let when = Cut { before, after: site.world.ledger.tick() };
    site.restores += 1;
    site.world.say("chaos", &format!("restored to {} (ticks {}–{})", at.lsn, when.before, when.after));
    site.world.history.lock().unwrap().restore_main(at.life, at.cut, when);
    // What lies behind the place is not in the main branch's past any more.
    site.marks.retain(|mark| mark.cut.after <= at.cut.after);
    site.stored = site.stored.min(at.cut.before);
}

/// When the main branch last got other data, once it is not under way any more.
fn last_reset(site: &Site) -> Value {
    let start = dormouse_base::clock::Mono::now();
    while start.elapsed().as_secs() < 40 {
        if let Ok(reply) = site.ask(&["branch", "get", "main"]) {
            let branch = &reply["branch"];
            if branch["current_state"] == "ready" && branch["pending_state"].is_null() {
                return branch["last_reset_at"].clone();
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    Value::Null
}
