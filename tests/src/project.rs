//! Projects made through the API, and what can be seen of their computes from outside: states,
//! events, processes and shared memory.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::sandbox::process;
use serde_json::{Value, json};

use crate::Server;

/// What does not happen within this time does not happen.
const HAPPENS_WITHIN: Duration = Duration::from_secs(40);

/// How many ports tests choose from.
const PORTS: u16 = 10_000;

/// A project that a test made.
#[derive(Debug, Clone)]
pub struct Project {
    /// The project's ID.
    pub id: String,
    /// Its endpoint's ID.
    pub endpoint: String,
    /// The owner's connection string.
    pub dsn: String,
}

impl Server {
    /// Makes a project; `wishes` is the `project` object of the request.
    pub fn create_project(&self, wishes: &Value) -> Project {
        let (status, made) = self.api("POST", "/projects", &json!({ "project": wishes }));
        assert_eq!(status, 201, "{made}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Project {
            id: text(&made["project"]["id"]),
            endpoint: text(&made["endpoints"][0]["id"]),
            dsn: text(&made["connection_uris"][0]["connection_uri"]),
        }
    }

    /// The project that the server made at its first start.
    pub fn default_project(&self) -> Project {
        let endpoint = self.endpoint();
        Project {
            id: endpoint["project_id"].as_str().unwrap().to_owned(),
            endpoint: endpoint["id"].as_str().unwrap().to_owned(),
            dsn: self.dsn().to_owned(),
        }
    }

    /// The endpoint of a project as the API shows it.
    pub fn endpoint_of(&self, project: &Project) -> Value {
        let path = format!("/projects/{}/endpoints/{}", project.id, project.endpoint);
        let (status, shown) = self.api("GET", &path, &Value::Null);
        assert_eq!(status, 200, "{shown}");
        shown["endpoint"].clone()
    }

    /// Its state.
    pub fn state_of(&self, project: &Project) -> String {
        self.endpoint_of(project)["state"].as_str().unwrap().to_owned()
    }

    /// The postmaster of a project.
    pub fn postmaster_of(&self, project: &Project) -> u32 {
        let pid = self.endpoint_of(project)["pid"].as_u64();
        u32::try_from(pid.unwrap_or_else(|| panic!("it does not run:\n{}", self.log()))).unwrap()
    }

    /// `start`, `suspend`, `pause` or `restart`.
    pub fn act(&self, project: &Project, action: &str) -> (u16, Value) {
        let path = format!("/projects/{}/endpoints/{}/{action}", project.id, project.endpoint);
        self.api("POST", &path, &Value::Null)
    }

    /// Changes the endpoint of a project.
    pub fn change_endpoint(&self, project: &Project, changes: &Value) {
        let path = format!("/projects/{}/endpoints/{}", project.id, project.endpoint);
        let (status, reply) = self.api("PATCH", &path, &json!({ "endpoint": changes }));
        assert_eq!(status, 200, "{reply}");
    }

    /// Its events, newest first, each as `{kind, …detail}`.
    pub fn events_of(&self, project: &Project) -> Vec<Value> {
        let path = format!("/projects/{}/endpoints/{}/events?limit=200", project.id, project.endpoint);
        let (status, list) = self.api("GET", &path, &Value::Null);
        assert_eq!(status, 200, "{list}");
        let entry = |event: &Value| {
            let mut detail = event["detail"].clone();
            detail["kind"] = event["kind"].clone();
            detail
        };
        list["events"].as_array().unwrap().iter().map(entry).collect()
    }

    /// Waits for a state of a project's endpoint.
    pub fn until_state(&self, project: &Project, state: &str) {
        self.until_true(&format!("{} is {state}", project.endpoint), || self.state_of(project) == state);
    }

    /// Waits for an event of this kind, and returns the newest one.
    pub fn until_event(&self, project: &Project, kind: &str) -> Value {
        let mut found = Value::Null;
        self.until_true(&format!("there is an event `{kind}`"), || {
            let event = self.events_of(project).into_iter().find(|e| e["kind"] == kind);
            found = event.unwrap_or_default();
            !found.is_null()
        });
        found
    }

    /// Waits until something holds.
    pub fn until_true(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Mono::now();
        while !holds() {
            assert!(start.elapsed() < HAPPENS_WITHIN, "it never came that {what}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The directory around a compute's cluster.
    pub fn home_of(&self, project: &Project) -> PathBuf {
        self.data().canonicalize().unwrap().join("computes").join(&project.endpoint)
    }

    /// The cluster.
    pub fn cluster_of(&self, project: &Project) -> PathBuf {
        self.home_of(project).join("data")
    }

    /// The user that owns the cluster.
    pub fn uid_of(&self, project: &Project) -> u32 {
        self.cluster_of(project).metadata().unwrap().uid()
    }

    /// All processes that work in a project's cluster.
    pub fn processes_of(&self, project: &Project) -> Vec<u32> {
        process::in_directory(&self.cluster_of(project))
    }
}

/// System V segments of a user, as (ID, attached processes).
pub fn sysv_segments(uid: u32) -> Vec<(i32, u32)> {
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[7].parse() == Ok(uid))
        .map(|row| (row[1].parse().unwrap(), row[6].parse().unwrap()))
        .collect()
}

/// POSIX segments of a user that PostgreSQL made.
pub fn posix_segments(uid: u32) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir("/dev/shm") else { return Vec::new() };
    entries
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with("PostgreSQL."))
        .filter(|e| e.metadata().is_ok_and(|m| m.uid() == uid))
        .map(|e| e.path())
        .collect()
}

/// A port that is free now, outside the range from which the kernel picks ports for outgoing
/// connections, so that it is still free after a restart. No test is given what another one has had: its
/// server may be about to listen there, or down for a moment.
pub fn free_port() -> u16 {
    static GIVEN: LazyLock<AtomicU16> =
        LazyLock::new(|| AtomicU16::new(u16::from_be_bytes(dormouse_base::rand::bytes::<2>()) % PORTS));
    (0..PORTS)
        .map(|_| 20_000 + GIVEN.fetch_add(1, Ordering::Relaxed) % PORTS)
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("no port is free")
}

/// Something for people to read: a measurement, or why a test does not run here.
#[allow(clippy::print_stderr, reason = "tests print when they are asked to, with --nocapture")]
pub fn note(text: &str) {
    eprintln!("note: {text}");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let ports: HashSet<u16> = (0..1000).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 1000);
    }
}
