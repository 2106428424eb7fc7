//! Branches, the store and recovery, as tests ask for them.
//!
//! Everything goes through the command line, which is a promise to people, and each shape of a reply
//! is read in one function here: when one changes, this is the file to change.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Project, Server};

/// Whether this build tests the storage: the feature `storage-e2e`.
pub const IS_READY: bool = cfg!(feature = "storage-e2e");

/// A branch, with its endpoint.
#[derive(Debug, Clone)]
pub struct Branch {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its project and endpoint, to be used wherever a [`Project`] is.
    pub at: Project,
}

/// What a command said when it was refused.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Its exit status.
    pub status: Option<i32>,
    /// Standard error.
    pub text: String,
}

impl Server {
    /// Runs a command; its JSON, or its refusal.
    ///
    /// # Errors
    /// What it was refused with.
    pub fn ask(&self, words: &[&str]) -> Result<Value, Refused> {
        let output = self.cli(&[words, &["--output", "json"]].concat());
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout).unwrap_or_default());
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Refused { status: output.status.code(), text })
    }

    /// Makes a branch; `words` are further options, such as `["--at", "0/3000000"]`.
    ///
    /// # Errors
    /// What it was refused with.
    pub fn try_branch(&self, project: &Project, name: &str, words: &[&str]) -> Result<Branch, Refused> {
        let all = [&["branch", "create", name, "--project", &project.id], words].concat();
        let made = self.ask(&all)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Branch {
            id: text(&made["branch"]["id"]),
            name: text(&made["branch"]["name"]),
            at: Project {
                id: project.id.clone(),
                endpoint: text(&made["endpoints"][0]["id"]),
                dsn: text(&made["connection_uris"][0]["connection_uri"]),
            },
        })
    }

    /// Makes a branch with an endpoint.
    #[track_caller]
    pub fn branch(&self, project: &Project, name: &str, words: &[&str]) -> Branch {
        self.try_branch(project, name, words)
            .unwrap_or_else(|refused| panic!("{name} {words:?}: {refused:?}"))
    }

    /// `dormouse branch <verb> <branch> …` on a project.
    ///
    /// # Errors
    /// What it was refused with.
    pub fn branch_verb(
        &self,
        project: &Project,
        verb: &str,
        branch: &str,
        words: &[&str],
    ) -> Result<Value, Refused> {
        self.ask(&[&["branch", verb, branch, "--project", &project.id], words].concat())
    }

    /// A branch as the API shows it.
    pub fn branch_shown(&self, project: &Project, branch: &str) -> Value {
        self.branch_verb(project, "get", branch, &[]).unwrap()["branch"].clone()
    }

    /// A new endpoint that shows the branch at a place and takes no writes.
    #[track_caller]
    pub fn read_only(&self, project: &Project, branch: &str, at: &str) -> Project {
        let branch = ["--branch", branch, "--project", &project.id];
        let words = [&["endpoint", "create", "--read-only", "--at", at][..], &branch].concat();
        let made = self.ask(&words).unwrap();
        let endpoint = made["endpoint"]["id"].as_str().unwrap().to_owned();
        let dsn = project.dsn.replace(&project.endpoint, &endpoint);
        assert_ne!(dsn, project.dsn, "the connection string names the endpoint");
        Project { id: project.id.clone(), endpoint, dsn }
    }

    /// Puts it to sleep and removes its local files; afterwards there are none.
    #[track_caller]
    pub fn evict(&self, project: &Project) {
        self.ask(&["endpoint", "evict", &project.endpoint, "--project", &project.id]).unwrap();
        assert!(
            !self.cluster_of(project).exists(),
            "evicted means that the store has it, and only the store"
        );
    }

    /// Proves the store whole.
    #[track_caller]
    pub fn fsck(&self) {
        self.ask(&["fsck"]).unwrap();
    }

    /// Collects garbage.
    #[track_caller]
    pub fn gc(&self) -> Value {
        self.ask(&["gc"]).unwrap()
    }
}

/// The URL of a store in a directory.
pub fn url_of(store: &Path) -> String {
    format!("file://{}", store.display())
}

/// All objects of a store in a directory whose name ends so (`.pack`, `.wal`, `.manifest` …), sorted.
pub fn objects(store: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![store.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
