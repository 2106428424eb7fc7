//! The body of `POST /v1/queries`. Pure.
//!
//! ```text
//!  {"query": "SELECT $1::int AS n", "params": [1], "branch": "main", "database": "app",
//!   "project": "default", "endpoint": "ep-…", "role": "app_owner", "stream": true}
//!  {"script": ["BEGIN", "UPDATE …", "SELECT …", "COMMIT"], "maxRows": 1000, "arrayMode": true, "rawText": true}
//! ```
//!
//! A script is one session from its first statement to its last, or to the first that fails; it comes as events.

use std::borrow::Cow;

use serde::Deserialize;

use crate::gateway::answer::problem::Problem;
use crate::gateway::request::headers::{Output, Style};
use crate::gateway::request::parameter::Params;
use crate::gateway::request::statement::{Few, MAX_STATEMENTS, Statement};
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
    pub(super) what: What<'a>,
    pub(super) route: Route,
    pub(super) database: String,
    pub(super) role: Option<String>,
    pub(super) stream: bool,
    /// Rows of each statement, at most; 0: all. Only in a stream.
    pub(super) max_rows: u32,
    /// How rows are written.
    pub(super) output: Output,
}

/// One statement, or some in one session.
#[derive(Debug)]
pub(super) enum What<'a> {
    Statement(Statement<'a>),
    Script(Vec<Statement<'a>>),
}

/// A name that is not known is a mistake here, not a newer client.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(default, borrow)]
    query: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    params: Params<'a>,
    #[serde(default, borrow)]
    script: Option<Few<Cow<'a, str>>>,
    project: Option<String>,
    branch: Option<String>,
    endpoint: Option<String>,
    database: Option<String>,
    role: Option<String>,
    #[serde(default)]
    stream: bool,
    #[serde(default, rename = "maxRows")]
    max_rows: u32,
    #[serde(default, rename = "arrayMode")]
    array_mode: bool,
    #[serde(default, rename = "rawText")]
    raw_text: bool,
}

impl<'a> Ask<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(body).map_err(|_| Problem::malformed("the body is not UTF-8 text"))?;
        let body: Body<'a> = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Problem::malformed(format!(
                "the body is not the expected JSON at line {line}, column {column}: known are query, params, script, \
                 project, branch, endpoint, database, role, stream, maxRows, arrayMode and rawText"
            ))
        })?;
        let what = What::of(body.query, body.params, body.script)?;
        if body.max_rows > i32::MAX.unsigned_abs() {
            return Err(Problem::malformed("maxRows is larger than 2147483647"));
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
            stream: body.stream || matches!(what, What::Script(_)) || body.max_rows > 0,
            what,
            route,
            database: body.database.unwrap_or_else(|| DATABASE.to_owned()),
            role: body.role,
            max_rows: body.max_rows,
            output: Output { raw_text: body.raw_text, array_mode: body.array_mode, style: Style::Plain },
        })
    }
}

impl<'a> What<'a> {
    fn of(
        query: Option<Cow<'a, str>>,
        params: Params<'a>,
        script: Option<Few<Cow<'a, str>>>,
    ) -> Result<Self, Problem> {
        let bare = |query| Statement { query, params: Params::default(), array_mode: None };
        let what = match (query, script) {
            (Some(query), None) => Self::Statement(Statement { params, ..bare(query) }),
            (None, Some(Few(texts))) if params.is_empty() && (1..=MAX_STATEMENTS).contains(&texts.len()) => {
                Self::Script(texts.into_iter().map(bare).collect())
            }
            (None, Some(_)) => {
                return Err(Problem::malformed("a script has 1 to 1000 statements, and no params"));
            }
            _ => return Err(Problem::malformed("the body needs either a \"query\" or a \"script\"")),
        };
        if what.statements().iter().any(|statement| statement.query.contains('\0')) {
            return Err(Problem::malformed("the query has a zero character in it"));
        }
        Ok(what)
    }

    /// All of them, in order.
    pub(super) fn statements(&self) -> &[Statement<'a>] {
        match self {
            Self::Statement(statement) => std::slice::from_ref(statement),
            Self::Script(statements) => statements,
        }
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
            r#"{"query":"a","script":["b"]}"#,
            r#"{"script":[]}"#,
            r#"{"script":["a"],"params":[1]}"#,
            r#"{"script":["a\u0000"]}"#,
            r#"{"query":"a","maxRows":4294967295}"#,
            "[]",
        ] {
            assert!(route(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn scripts_are_streams() {
        let ask = Ask::read(br#"{"script":["BEGIN","a\nb"],"maxRows":10,"arrayMode":true}"#).unwrap();
        let texts: Vec<_> = ask.what.statements().iter().map(|s| &*s.query).collect();
        assert_eq!((texts, ask.stream, ask.max_rows), (vec!["BEGIN", "a\nb"], true, 10));
        assert!(ask.output.array_mode && !ask.output.raw_text);
        assert!(!Ask::read(br#"{"query":"a"}"#).unwrap().stream);
    }
}
