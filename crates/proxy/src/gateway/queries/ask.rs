//! The body of `POST /v1/queries`. Pure.
//!
//! ```text
//!  {"query": "SELECT $1::int AS n", "params": [1], "branch": "main", "database": "app",
//!   "project": "default", "endpoint": "ep-…", "role": "app_owner", "stream": true}
//! ```

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::gateway::answer::problem::Problem;
use crate::gateway::request::parameter;
use crate::gateway::request::statement::{MAX_PARAMETERS, Statement};
use crate::route::Route;

/// The database that a new project has.
const DATABASE: &str = "app";

/// The branch that is meant when only a project is named.
const BRANCH: &str = "main";

/// Longest name, bytes.
const MAX_NAME: usize = 128;

/// What is asked.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) statement: Statement<'a>,
    pub(super) route: Route,
    pub(super) database: String,
    pub(super) role: Option<String>,
    pub(super) stream: bool,
}

/// A name that is not known is a mistake here, not a newer client.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    query: Cow<'a, str>,
    #[serde(default, borrow, deserialize_with = "parameter::all")]
    params: Vec<&'a RawValue>,
    project: Option<String>,
    branch: Option<String>,
    endpoint: Option<String>,
    database: Option<String>,
    role: Option<String>,
    #[serde(default)]
    stream: bool,
}

impl<'a> Ask<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(body).map_err(|_| Problem::malformed("the body is not UTF-8 text"))?;
        let body: Body<'_> = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Problem::malformed(format!(
                "the body is not the expected JSON at line {line}, column {column}: known are query, params, \
                 project, branch, endpoint, database, role and stream"
            ))
        })?;
        if body.query.contains('\0') || body.params.len() > MAX_PARAMETERS {
            return Err(Problem::malformed("the query has a zero character, or more than 65535 parameters"));
        }
        let names = [&body.project, &body.branch, &body.endpoint, &body.database, &body.role];
        if names.into_iter().flatten().any(|n| n.is_empty() || n.len() > MAX_NAME || n.contains('\0')) {
            return Err(Problem::malformed("a name in the body is empty or too long"));
        }
        let route = match (body.endpoint, body.project, body.branch) {
            (Some(endpoint), None, None) => Route::Endpoint(endpoint),
            (Some(_), _, _) => {
                return Err(Problem::malformed("name an endpoint, or a branch and its project, not both"));
            }
            (None, None, None) => Route::Default,
            (None, project, branch) => {
                Route::Branch { project, branch: branch.unwrap_or_else(|| BRANCH.to_owned()) }
            }
        };
        Ok(Self {
            statement: Statement { query: body.query, params: body.params, array_mode: None },
            route,
            database: body.database.unwrap_or_else(|| DATABASE.to_owned()),
            role: body.role,
            stream: body.stream,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked() {
        let route = |body: &str| Ask::read(body.as_bytes()).map(|ask| ask.route).map_err(|p| p.status);
        let branch = |project: Option<&str>, branch: &str| {
            Ok(Route::Branch { project: project.map(str::to_owned), branch: branch.to_owned() })
        };
        assert_eq!(route(r#"{"query":"a"}"#), Ok(Route::Default));
        assert_eq!(route(r#"{"query":"a","branch":"dev"}"#), branch(None, "dev"));
        assert_eq!(route(r#"{"query":"a","project":"p"}"#), branch(Some("p"), "main"));
        assert_eq!(route(r#"{"query":"a","endpoint":"ep-x"}"#), Ok(Route::Endpoint("ep-x".to_owned())));
        for bad in [
            r#"{"query":"a","endpoint":"ep-x","branch":"dev"}"#,
            r#"{"query":"a","branch":""}"#,
            r#"{"query":"a","databse":"app"}"#,
            r#"{"branch":"dev"}"#,
            "[]",
        ] {
            assert!(route(bad).is_err(), "{bad}");
        }
    }
}
