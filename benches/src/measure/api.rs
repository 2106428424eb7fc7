//! `api`: how long somebody waits who asks the control plane: for a connection string, for the first row of a
//! new project, for a list of very many branches, and when many ask for changes at once.
//!
//! The baseline of each is the cheapest question there is, asked in the same run.

use std::path::Path;
use std::time::Duration;

use dormouse_api::branch::{CreateBranch, NewBranch};
use dormouse_api::client;
use dormouse_api::connection::ConnectionUriQuery;
use dormouse_api::project::{ProjectPatch, UpdateProject};
use dormouse_api::{PageQuery, Project};
use dormouse_base::clock::Mono;

use super::STAY_AWAKE;
use crate::error::Error;
use crate::report::{PartReport, Row, Section, Target};
use crate::server::Server;
use crate::stats::Series;
use crate::{crew, session, stop, talk};

/// Projects that are made, one after the other.
const PROJECTS: usize = 60;
/// Of those, how many are connected to at once.
const CONNECTED: usize = 20;
/// Branches in the list.
const BRANCHES: usize = 1000;
/// How often all of them are listed.
const LISTS: usize = 20;
/// Changes at once, by so many clients.
const CHANGES: usize = 200;
const HANDS: usize = 50;

const CONNECTION_STRING_MS: f64 = 50.0;
const FIRST_ROW_MS: f64 = 150.0;
const LIST_MS: f64 = 50.0;

/// Measures.
///
/// # Errors
/// When something broke.
pub(crate) fn run(binary: &Path) -> Result<PartReport, Error> {
    let server = Server::start(binary, &STAY_AWAKE)?;
    let mut cheapest = Series::default();
    for _ in 0..PROJECTS {
        cheapest.push(timed(|| server.call(&client::server::user()))?.0);
    }
    talk::say(&format!("api: making {PROJECTS} projects"));
    let (mut strings, mut rows) = (Series::default(), Series::default());
    for number in 0..PROJECTS {
        stop::check()?;
        let start = Mono::now();
        let place = server.new_place(&format!("api-{number}"))?;
        let query = ConnectionUriQuery {
            database_name: place.login.database.clone(),
            role_name: place.login.user.clone(),
            branch_id: None,
            endpoint_id: None,
            pooled: None,
        };
        server.call(&client::project::connection_uri(&place.project, &query))?;
        strings.push(start.elapsed());
        if number < CONNECTED {
            rows.push(session::over_tcp(place.address, &place.login)?.first_row()?.since(start));
        }
    }
    talk::say(&format!("api: making {BRANCHES} branches"));
    let project = project_named(&server, "api-0")?;
    for number in 0..BRANCHES {
        stop::check()?;
        let branch = NewBranch { name: Some(format!("b-{number}")), ..NewBranch::default() };
        server.call(&client::branch::create(&project.id, &CreateBranch { branch, endpoints: Vec::new() }))?;
    }
    let mut lists = Series::default();
    for _ in 0..LISTS {
        lists.push(timed(|| all_branches(&server, &project))?.0);
    }
    talk::say(&format!("api: {CHANGES} changes by {HANDS} clients"));
    let numbers: Vec<usize> = (0..CHANGES).collect();
    let start = Mono::now();
    let changed = crew::each(&numbers, HANDS, |number| {
        let name = Some(format!("api-0-{number}"));
        let change = UpdateProject { project: ProjectPatch { name, ..ProjectPatch::default() } };
        timed(|| server.call(&client::project::update(&project.id, &change))).map(|(took, _)| took)
    });
    let took = start.elapsed();
    let mut changes = Series::default();
    changes.extend(changed.into_iter().collect::<Result<Vec<_>, Error>>()?);

    let base = Some(("GET /users/me", &cheapest));
    let all: Vec<Row> = vec![
        cheapest.row("GET /users/me", None),
        strings.row("new project → connection string", base),
        rows.row("new project → first row", base),
        lists.row(&format!("list {BRANCHES} branches, all pages"), base),
        changes.row(&format!("one of {CHANGES} changes of one project at once"), base),
    ];
    Ok(PartReport {
        name: "api",
        sections: vec![Section { title: "how long somebody waits".into(), rows: all }],
        targets: vec![
            Target::at_most(
                "project create → connection string, p50",
                strings.p50(),
                CONNECTION_STRING_MS,
                "ms",
            ),
            Target::at_most("project create → first row, p50", rows.p50(), FIRST_ROW_MS, "ms"),
            Target::at_most(&format!("list {BRANCHES} branches, p50"), lists.p50(), LIST_MS, "ms"),
        ],
        notes: vec![format!("{CHANGES} changes took {:.2} s; none was refused", took.as_secs_f64())],
    })
}

fn timed<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<(Duration, T), Error> {
    let start = Mono::now();
    let done = work()?;
    Ok((start.elapsed(), done))
}

fn project_named(server: &Server, name: &str) -> Result<Project, Error> {
    let query = PageQuery { search: Some(name.to_owned()), ..PageQuery::default() };
    let found = server.call(&client::project::list(&query))?.projects;
    found
        .into_iter()
        .find(|project| project.name == name)
        .ok_or_else(|| Error::unexpected("a project is gone"))
}

fn all_branches(server: &Server, project: &Project) -> Result<(), Error> {
    let (mut query, mut seen) = (PageQuery::largest(), 0);
    loop {
        let page = server.call(&client::branch::list(&project.id, &query))?;
        seen += page.branches.len();
        query.cursor = page.pagination.and_then(|page| page.place().map(str::to_owned));
        if query.cursor.is_none() {
            break;
        }
    }
    if seen == BRANCHES + 1 { Ok(()) } else { Err(Error::unexpected(format!("{seen} branches are listed"))) }
}
