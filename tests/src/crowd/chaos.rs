//! What happens to the endpoint meanwhile.

use std::time::Duration;

use dormouse_compute::sandbox::process;
use rustix::process::Signal;

use crate::seed::Seed;
use crate::{Project, Server};

/// How long a compute is frozen.
const FROZEN: Duration = Duration::from_millis(400);

/// Everything, with how often it is drawn.
pub(super) const ALL: [(u64, &str); 7] = [
    (3, "postmaster killed"),
    (2, "backend killed"),
    (3, "suspended"),
    (2, "paused"),
    (2, "restarted"),
    (1, "frozen"),
    (2, "left alone"),
];

/// One of them.
pub(super) fn once(server: &Server, project: &Project, draw: &mut Seed) -> &'static str {
    let what = draw.weighted(&ALL);
    let all = server.processes_of(project);
    let file = std::fs::read_to_string(server.cluster_of(project).join("postmaster.pid"));
    let postmaster: Option<u32> = file.ok().and_then(|text| text.lines().next()?.parse().ok());
    let postmaster = postmaster.filter(|pid| all.contains(pid));
    match what {
        "postmaster killed" => postmaster.into_iter().for_each(|pid| process::signal(pid, Signal::KILL)),
        "backend killed" => {
            let backends: Vec<u32> = all.into_iter().filter(|pid| Some(*pid) != postmaster).collect();
            if !backends.is_empty() {
                process::signal(*draw.one_of(&backends), Signal::KILL);
            }
        }
        // Refused in some states, which is an answer too.
        "suspended" => drop(server.act(project, "suspend")),
        "paused" => drop(server.act(project, "pause")),
        "restarted" => drop(server.act(project, "restart")),
        "frozen" => {
            all.iter().for_each(|pid| process::signal(*pid, Signal::STOP));
            std::thread::sleep(FROZEN);
            all.iter().for_each(|pid| process::signal(*pid, Signal::CONT));
        }
        _ => {}
    }
    what
}

/// Until it sleeps.
pub(super) fn suspend(server: &Server, project: &Project) {
    server.until_true("it is suspended", || {
        let _refused_in_some_states = server.act(project, "suspend");
        server.state_of(project) == "stopped"
    });
}
