//! `dormouse endpoint …`. Making and removing is in [`manage`], changing settings in [`update`], the event
//! list in [`events`], options of size in [`size`].

use dormouse_api::endpoint::{EndpointLoad, EndpointReply, EndpointType};
use dormouse_api::{Endpoint as Resource, client};

use super::Context;
use crate::args::{InProject, name};
use crate::connect::http::Session;
use crate::error::Error;
use crate::resolve;
use crate::ui::{Table, seconds, time};

mod events;
mod manage;
pub(crate) mod size;
mod update;

/// Make and remove endpoints, put them to sleep and wake them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Endpoint {
    /// List the endpoints of a project
    List(List),
    /// Show an endpoint
    Get(Which),
    /// Make an endpoint of a branch
    Create(manage::Create),
    /// Remove an endpoint; the data stays with its branch
    Delete(manage::Delete),
    /// Stop an endpoint; the next connection wakes it
    Suspend(Which),
    /// Freeze an endpoint that has no work; the next connection thaws it
    Pause(Which),
    /// Start or thaw an endpoint, and wait until it serves
    Wake(Which),
    /// Stop an endpoint and remove its local files; the store has everything
    Evict(Which),
    /// Stop an endpoint and move its local files aside, for a directory that is damaged
    SetAside(manage::SetAside),
    /// Show what happened to an endpoint, newest first
    Events(events::Events),
    /// Change an endpoint's size, when it sleeps, and its PostgreSQL settings
    Update(update::Update),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    of: InProject,
}

/// Which endpoint is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The endpoint's ID, or its branch, or PROJECT/BRANCH [default: that of the default branch].
    #[arg(value_parser = name)]
    endpoint: Option<String>,

    #[command(flatten)]
    of: InProject,
}

impl Which {
    async fn find(&self, session: &Session) -> Result<Resource, Error> {
        resolve::endpoint(session, self.of.project.as_deref(), self.endpoint.as_deref()).await
    }
}

pub(crate) async fn run(command: Endpoint, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    match command {
        Endpoint::List(args) => {
            let project = resolve::project(&session, args.of.project.as_deref()).await?;
            let list = session.call(client::endpoint::list(&project.id)).await?;
            cx.ui.show(&list, |list| table(&list.endpoints))
        }
        Endpoint::Get(which) => {
            let endpoint = which.find(&session).await?;
            cx.ui.show(&EndpointReply { endpoint }, |reply| fields(&reply.endpoint))
        }
        Endpoint::Suspend(which) => {
            let endpoint = which.find(&session).await?;
            let _progress = cx.ui.progress("Stopping the endpoint");
            let call = client::endpoint::suspend(&endpoint.project_id, &endpoint.id);
            done(session.call(call).await?.endpoint, cx)
        }
        Endpoint::Pause(which) => {
            let endpoint = which.find(&session).await?;
            let call = client::endpoint::pause(&endpoint.project_id, &endpoint.id);
            done(session.call(call).await?.endpoint, cx)
        }
        Endpoint::Wake(which) => {
            let endpoint = which.find(&session).await?;
            let _progress = cx.ui.progress("Waking the endpoint");
            let call = client::endpoint::start(&endpoint.project_id, &endpoint.id);
            done(session.call(call).await?.endpoint, cx)
        }
        Endpoint::Create(args) => manage::create(&args, &session, cx).await,
        Endpoint::Delete(args) => manage::delete(&args, &session, cx).await,
        Endpoint::Evict(which) => manage::evict(&which, &session, cx).await,
        Endpoint::SetAside(args) => manage::set_aside(&args, &session, cx).await,
        Endpoint::Events(args) => events::run(&args, &session, cx).await,
        Endpoint::Update(args) => update::run(&args, &session, cx).await,
    }
}

fn done(endpoint: Resource, cx: &Context) -> Result<(), Error> {
    cx.ui.show(&EndpointReply { endpoint }, |reply| table(std::slice::from_ref(&reply.endpoint)))
}

fn table(endpoints: &[Resource]) -> Table {
    let mut table = Table::list(&["ID", "BRANCH", "TYPE", "STATE", "CU", "PID", "HOST"]);
    for endpoint in endpoints {
        table.row([
            endpoint.id.to_string(),
            endpoint.branch_id.to_string(),
            kind(endpoint.kind).into(),
            endpoint.live.state.name().into(),
            endpoint.live.current_cu.map(|cu| cu.to_string()).unwrap_or_default(),
            endpoint.live.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            endpoint.host.clone(),
        ]);
    }
    table
}

fn kind(kind: EndpointType) -> &'static str {
    match kind {
        EndpointType::ReadWrite => "read-write",
        EndpointType::ReadOnly => "read-only",
    }
}

fn fields(endpoint: &Resource) -> Table {
    let settings = &endpoint.settings.pg_settings;
    let settings: Vec<String> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Table::fields([
        ("ID", endpoint.id.to_string()),
        ("Branch", endpoint.branch_id.to_string()),
        ("Project", endpoint.project_id.to_string()),
        ("Type", kind(endpoint.kind).into()),
        ("Shows", endpoint.pinned_lsn.map(|lsn| format!("the branch at {lsn}")).unwrap_or_default()),
        ("Host", endpoint.host.clone()),
        ("State", endpoint.live.state.name().into()),
        ("PID", endpoint.live.pid.map(|pid| pid.to_string()).unwrap_or_default()),
        ("Size", size_of(endpoint)),
        ("Uses", endpoint.live.load.as_ref().map(uses).unwrap_or_default()),
        (
            "Suspend timeout",
            seconds(endpoint.limits.suspend_timeout_seconds, "server's default", "never sleep"),
        ),
        ("Pause timeout", seconds(endpoint.limits.pause_timeout_seconds, "never pause", "stay paused")),
        ("Kept awake", endpoint.limits.keep_warm.iter().map(size::shown).collect::<Vec<_>>().join(", ")),
        ("Prewarm", endpoint.limits.prewarm.to_string()),
        ("Settings", settings.join(", ")),
        ("Last active", time(endpoint.live.last_active)),
        ("Started", time(endpoint.live.started_at)),
        ("Suspended", time(endpoint.live.suspended_at)),
        ("Next wake", time(endpoint.live.next_wake)),
        ("Created", time(Some(endpoint.created_at))),
    ])
}

/// `0.5 CU (0.25 to 2)`.
fn size_of(endpoint: &Resource) -> String {
    let (min, max) = (endpoint.limits.autoscaling_limit_min_cu, endpoint.limits.autoscaling_limit_max_cu);
    match endpoint.live.current_cu {
        Some(now) => format!("{now} CU ({min} to {max})"),
        None => format!("{min} to {max} CU"),
    }
}

fn uses(load: &EndpointLoad) -> String {
    let clients = format!("{} connections, {} waiting", load.connections, load.pool_waiting);
    if !load.measured {
        return format!("{clients} (CPU and memory are not measured here: see `dormouse doctor`)");
    }
    format!("{:.2} processors, {} MiB, {clients}", load.cpu_cores, load.memory_bytes >> 20)
}
