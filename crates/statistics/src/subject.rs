//! Whom a series is about.

use std::fmt;
use std::str::FromStr;

use dormouse_api::statistics::Metric;
use dormouse_base::{EndpointId, ProjectId};

/// An endpoint, a project, or everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// All of the server.
    Server,
    /// All of a project.
    Project(ProjectId),
    /// One endpoint.
    Endpoint(EndpointId),
}

/// A subject that cannot be read; it was not written by this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a subject")]
pub struct NotASubject;

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Server => f.write_str("server"),
            Subject::Project(id) => write!(f, "project {id}"),
            Subject::Endpoint(id) => write!(f, "endpoint {id}"),
        }
    }
}

impl FromStr for Subject {
    type Err = NotASubject;

    fn from_str(text: &str) -> Result<Self, NotASubject> {
        match text.split_once(' ') {
            None if text == "server" => Ok(Subject::Server),
            Some(("project", id)) => id.parse().map(Subject::Project).map_err(|_| NotASubject),
            Some(("endpoint", id)) => id.parse().map(Subject::Endpoint).map_err(|_| NotASubject),
            _ => Err(NotASubject),
        }
    }
}

/// What makes a series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Whom it is about.
    pub subject: Subject,
    /// What is measured.
    pub metric: Metric,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_comes_back_and_nothing_else_is_one() {
        for subject in [
            Subject::Server,
            Subject::Project("quiet-meadow-k3v9x2ab".parse().unwrap()),
            Subject::Endpoint("ep-quiet-meadow-k3v9x2ab".parse().unwrap()),
        ] {
            assert_eq!(subject.to_string().parse(), Ok(subject));
        }
        for bad in ["", "endpoint", "endpoint x y", "branch br-x", "project ../x"] {
            assert_eq!(bad.parse::<Subject>(), Err(NotASubject), "{bad}");
        }
    }
}
