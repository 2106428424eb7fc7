//! Snapshots, garbage collection and fsck while everything else goes on.

use super::super::site::Site;
use super::sleep::first_line;

/// The main branch's data goes to the store now.
pub(super) fn snapshot(site: &mut Site) {
    let before = site.world.ledger.tick();
    match site.ask(&["branch", "snapshot"]) {
        Ok(taken) => {
            site.stored = before;
            site.world.say("chaos", &format!("snapshot at {}", taken["lsn"]));
        }
        Err(refusal) => site.world.say("chaos", &format!("snapshot refused: {}", first_line(&refusal.text))),
    }
}

pub(super) fn gc(site: &Site) {
    match site.ask_plainly(&["gc"]) {
        Ok(report) => site.world.say("chaos", &format!("gc: {report}")),
        Err(refusal) => site.world.say("chaos", &format!("gc refused: {}", first_line(&refusal.text))),
    }
}

/// The store must be whole at any moment, not only when nobody works.
pub(super) fn fsck(site: &Site) {
    match site.ask_plainly(&["fsck", "--quick"]) {
        Ok(_) => site.world.say("chaos", "fsck: clean"),
        // It reads through the server, whose reads are made to fail.
        Err(refusal) if site.weather.is_fair() && refusal.status == 1 => {
            site.world.complain("fsck", &refusal.text);
        }
        Err(refusal) => site.world.say("chaos", &format!("fsck refused: {}", first_line(&refusal.text))),
    }
}
