//! The end of a run, when nobody writes any more: everything is looked at; then all local files go,
//! and what the store has is looked at again.

use dormouse_compute::sandbox::process;
use rustix::process::Signal;

use super::super::history::Cut;
use super::super::site::{Refusal, Site, run_command};
use super::super::weather::Weather;
use super::{WORKS_WITHIN, branch, database, files};

/// Looks at everything.
pub(crate) fn run(site: &mut Site) {
    site.restart(Weather::fair());
    if !site.works(WORKS_WITHIN) {
        return;
    }
    main(site);
    files::pg_amcheck(site);
    if site.world.options.storage {
        for made in site.branches.clone() {
            branch(site, &made);
        }
        store_is_whole(site);
    }
    stopped_directory(site);
    if site.world.options.storage {
        lose_the_node(site);
    }
    nothing_panicked(site);
}

fn main(site: &Site) {
    let life = site.world.history.lock().unwrap().main();
    database(site, &site.project.dsn, life, "main");
}

/// fsck, collect, fsck: collecting must take nothing that is needed.
fn store_is_whole(site: &Site) {
    for words in [vec!["fsck"], vec!["gc"], vec!["fsck"]] {
        match site.ask_plainly(&words) {
            Ok(_) => site.world.say("check", &format!("{words:?}: clean")),
            Err(Refusal { status, text }) => {
                site.world.complain("store", &format!("{words:?}: exit status {status}: {text}"));
            }
        }
    }
}

fn stopped_directory(site: &mut Site) {
    let before = site.world.ledger.tick();
    if let Err(refusal) = site.ask(&["endpoint", "suspend", &site.project.endpoint]) {
        return site.world.complain("check", &format!("it does not suspend: {}", refusal.text));
    }
    // By a rude end it is not told that this is the last word.
    if !site.world.plan.rude_end {
        site.stored = before;
    }
    files::checksums(site);
}

/// Removes everything but the store, and starts from that.
fn lose_the_node(site: &mut Site) {
    site.world.say("check", &format!("the node is lost; what ended before tick {} was stored", site.stored));
    let before = site.world.ledger.tick();
    if site.world.plan.rude_end {
        process::signal(site.server.pid(), Signal::KILL);
        for pid in site.server.computes() {
            process::signal(pid, Signal::KILL);
        }
        site.server.kill_9();
    } else {
        let (took, well) = site.server.stop();
        site.world.say(
            "check",
            &format!("the server stopped after {took:.1?}, {}", if well { "well" } else { "not well" }),
        );
    }
    // Out of reach is as good as gone, and quicker; nobody looks under another name.
    std::fs::rename(site.server.data(), site.world.dir.join("lost")).unwrap();
    let new = site.world.dir.join("recovered");
    let (store, dir) = (format!("file://{}", site.store.display()), new.display().to_string());
    if let Err(refusal) = run_command(&["recover", "--store", &store, "--data", &dir]) {
        return site.world.complain("recover", &refusal.text);
    }
    site.open_recovered(&new);
    let cut = Cut { before: site.stored, after: site.stored };
    let when = Cut { before, after: site.world.ledger.tick() };
    site.world.history.lock().unwrap().lose_main_after(cut, when);
    if !site.works(WORKS_WITHIN) {
        return;
    }
    main(site);
    for made in site.branches.clone() {
        branch(site, &made);
    }
    store_is_whole(site);
}

/// Nor is WAL ever lost: no kill and no fault of a store recycles what a slot holds, up to 4 GB.
fn nothing_panicked(site: &Site) {
    let is_bad = |line: &&str| line.contains("panicked") || line.contains("WAL was gone before it could be");
    for line in site.server.log().lines().filter(is_bad).take(3) {
        site.world.complain("server", line);
    }
}
