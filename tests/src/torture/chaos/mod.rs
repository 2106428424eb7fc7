//! The torturer: one thing after the other, drawn from its own stream, while the clients work.
//!
//! After each it looks whether the server still lives, whether the clients get on, and how much room
//! is left. [`processes`] kills and freezes, [`sleep`] puts to sleep and evicts, [`branches`] makes,
//! restores and deletes, [`upkeep`] is snapshots, garbage collection and fsck.

pub(crate) mod branches;
mod processes;
mod sleep;
mod upkeep;

use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_base::clock::Mono;

use super::check;
use super::seed::Seed;
use super::site::Site;
use super::weather::{Weather, failpoints};

/// Clients must get something acknowledged within this time, whatever happens.
const PROGRESS_WITHIN: Duration = Duration::from_secs(60);

/// Bulk loads and new branches wait above so many bytes.
const ROOM: u64 = 1536 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    KillBackend,
    KillPostmaster,
    KillServer,
    KillAll,
    StopServer,
    FreezeServer,
    Suspend,
    Wake,
    Pause,
    Look,
    Evict,
    Mark,
    BranchHead,
    BranchPast,
    BranchOfBranch,
    CheckBranch,
    DeleteBranch,
    Restore,
    Snapshot,
    Gc,
    Fsck,
}

/// How often each comes; the second number is with storage.
const WEIGHTS: [(u64, u64, Action); 21] = [
    (10, 6, Action::KillBackend),
    (10, 8, Action::KillPostmaster),
    (12, 14, Action::KillServer),
    (5, 5, Action::KillAll),
    (4, 3, Action::StopServer),
    (4, 3, Action::FreezeServer),
    (6, 5, Action::Suspend),
    (3, 2, Action::Wake),
    (5, 3, Action::Pause),
    (6, 4, Action::Look),
    (0, 9, Action::Evict),
    (0, 10, Action::Mark),
    (0, 8, Action::BranchHead),
    (0, 7, Action::BranchPast),
    (0, 3, Action::BranchOfBranch),
    (0, 6, Action::CheckBranch),
    (0, 4, Action::DeleteBranch),
    (0, 3, Action::Restore),
    (0, 8, Action::Snapshot),
    (0, 4, Action::Gc),
    (0, 3, Action::Fsck),
];

/// Breaks things until the time is over.
pub(crate) fn run(site: &mut Site) {
    let mut draw = site.world.seed.of("chaos");
    let names = failpoints();
    let limit = Duration::from_secs(site.world.options.seconds);
    let storage = site.world.options.storage;
    let weights: Vec<(u64, Action)> =
        WEIGHTS.iter().map(|(plain, full, action)| (if storage { *full } else { *plain }, *action)).collect();
    let start = Mono::now();
    let mut progress = (site.world.ledger.acknowledged(), Mono::now());
    while start.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(draw.between(50, 1200)));
        if let Some(status) = site.server.ended() {
            died(site, status, Weather::draw(&mut draw, &names));
            continue;
        }
        let action = draw.weighted(&weights);
        act(site, action, &mut draw, &names);
        look_for_room(site);
        let now = site.world.ledger.acknowledged();
        if now > progress.0 {
            progress = (now, Mono::now());
        } else if progress.1.elapsed() > PROGRESS_WITHIN {
            site.world.complain("clients", &format!("nothing acknowledged for {PROGRESS_WITHIN:?}"));
            return;
        }
    }
}

/// The server is gone and nobody killed it here: a failpoint, or something to complain about.
fn died(site: &mut Site, status: std::process::ExitStatus, next: Weather) {
    if site.weather.is_deadly() {
        site.world.say("chaos", &format!("the server died of a failpoint ({})", site.weather));
    } else {
        site.world.complain("server", &format!("it ended by itself: {status}"));
    }
    site.start_again(next);
}

fn act(site: &mut Site, action: Action, draw: &mut Seed, names: &[String]) {
    match action {
        Action::KillBackend => processes::kill_backend(site, draw),
        Action::KillPostmaster => processes::kill_postmaster(site),
        Action::KillServer => processes::kill_server(site, Weather::draw(draw, names)),
        Action::KillAll => processes::kill_all(site, Weather::draw(draw, names)),
        Action::StopServer => processes::stop_server(site, Weather::draw(draw, names)),
        Action::FreezeServer => processes::freeze_server(site, draw.between(200, 1500)),
        Action::Suspend => sleep::suspend(site),
        Action::Wake => sleep::wake(site),
        Action::Pause => sleep::pause(site),
        Action::Evict => sleep::evict(site),
        Action::Look => check::under_load(site),
        Action::Mark => branches::mark(site),
        Action::BranchHead => branches::of_head(site),
        Action::BranchPast => branches::of_past(site, draw),
        Action::BranchOfBranch => branches::of_branch(site, draw),
        Action::CheckBranch => branches::check_one(site, draw),
        Action::DeleteBranch => branches::delete_one(site, draw),
        Action::Restore => branches::restore(site, draw),
        Action::Snapshot => upkeep::snapshot(site),
        Action::Gc => upkeep::gc(site),
        Action::Fsck => upkeep::fsck(site),
    }
}

fn look_for_room(site: &Site) {
    let used = bytes_below(&site.world.dir);
    let room = used < ROOM;
    if site.world.room.swap(room, Ordering::Relaxed) != room {
        site.world
            .say("chaos", &format!("{} MiB on disk: {}", used >> 20, if room { "room" } else { "no bulk" }));
    }
}

/// What the files below a directory take. Files come and go meanwhile.
fn bytes_below(dir: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) if meta.is_file() => meta.blocks() * 512,
        _ => 0,
    };
    entries.map(size).sum()
}
