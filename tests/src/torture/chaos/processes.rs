//! Ends and freezes processes.

use std::time::Duration;

use dormouse_compute::sandbox::process;
use rustix::process::Signal;

use super::super::seed::Seed;
use super::super::site::Site;
use super::super::weather::Weather;

/// A server that was asked to stop may take this long; then it hangs.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// Processes of the main branch's cluster; the postmaster is the one in its own file.
fn processes(site: &Site) -> (Option<u32>, Vec<u32>) {
    let file = std::fs::read_to_string(site.server.cluster_of(&site.project).join("postmaster.pid"));
    let all = site.server.processes_of(&site.project);
    let postmaster = file.ok().and_then(|text| text.lines().next()?.parse().ok());
    (postmaster.filter(|pid| all.contains(pid)), all)
}

/// Any process of the cluster but the postmaster: a backend, the checkpointer, the WAL writer …
pub(super) fn kill_backend(site: &Site, draw: &mut Seed) {
    let (postmaster, all) = processes(site);
    let children: Vec<u32> = all.into_iter().filter(|pid| Some(*pid) != postmaster).collect();
    if !children.is_empty() {
        let victim = *draw.one_of(&children);
        let title = std::fs::read_to_string(format!("/proc/{victim}/cmdline")).unwrap_or_default();
        site.world.say("chaos", &format!("kill -9 {victim}: {}", title.trim_matches('\0')));
        process::signal(victim, Signal::KILL);
    }
}

pub(super) fn kill_postmaster(site: &Site) {
    if let (Some(postmaster), _) = processes(site) {
        site.world.say("chaos", &format!("kill -9 {postmaster}: the postmaster"));
        process::signal(postmaster, Signal::KILL);
    }
}

pub(super) fn kill_server(site: &mut Site, next: Weather) {
    site.world.say("chaos", "kill -9 of the server");
    site.restart(next);
}

/// Server and computes at once: what a machine does that loses its processes, but not its disk.
pub(super) fn kill_all(site: &mut Site, next: Weather) {
    site.world.say("chaos", "kill -9 of the server and all computes");
    process::signal(site.server.pid(), Signal::KILL);
    for pid in site.server.computes() {
        process::signal(pid, Signal::KILL);
    }
    site.restart(next);
}

pub(super) fn stop_server(site: &mut Site, next: Weather) {
    site.world.say("chaos", "asking the server to stop");
    let (took, well) = site.server.stop();
    if !well && !site.weather.is_deadly() && !site.weather.is_rough() {
        site.world.complain("server", "it did not stop well");
    }
    if took > STOP_WITHIN {
        site.world.complain("server", &format!("it took {took:?} to stop"));
    }
    site.start_again(next);
}

pub(super) fn freeze_server(site: &Site, ms: u64) {
    site.world.say("chaos", &format!("SIGSTOP of the server for {ms} ms"));
    process::signal(site.server.pid(), Signal::STOP);
    std::thread::sleep(Duration::from_millis(ms));
    process::signal(site.server.pid(), Signal::CONT);
}
