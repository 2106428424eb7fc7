//! `dormouse project …`.

use dormouse_api::client;
use dormouse_api::project::{
    CreateProject, CreatedProject, EndpointDefaultsPatch, NewProject, NewProjectBranch, PreloadLibraries,
    ProjectPatch, ProjectReply, ProjectSettingsPatch, UpdateProject,
};
use dormouse_api::{Project as Resource, Projects};

use super::Context;
use super::endpoint::size::units;
use crate::args::{Consent, name};
use crate::error::Error;
use crate::resolve;
use crate::timeout::Timeout;
use crate::ui::{Table, seconds, time};

/// List, make, change and remove projects
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Project {
    /// List all projects
    List,
    /// Make a project with a branch, a role and a database
    Create(Create),
    /// Show a project
    Get(Get),
    /// Change a project
    Update(Update),
    /// Wake all endpoints of a project at once, and wait until they serve
    Wake(Get),
    /// Remove a project with all its data
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Its name [default: two random words].
    #[arg(value_name = "NAME", value_parser = name)]
    name: Option<String>,

    /// PostgreSQL major version [default: 18, else the newest installed].
    #[arg(long, value_name = "VERSION")]
    pg_version: Option<u16>,

    /// The name of its first branch [default: main].
    #[arg(long, value_name = "NAME", value_parser = name)]
    branch: Option<String>,

    /// The name of its first database [default: app].
    #[arg(long, value_name = "NAME", value_parser = name)]
    database: Option<String>,

    /// The role that owns that database [default: <database>_owner].
    #[arg(long, value_name = "NAME", value_parser = name)]
    role: Option<String>,

    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The project, by ID or name [default: the only one, or the one named `default`].
    #[arg(value_parser = name)]
    project: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    /// The project, by ID or name [default: the only one, or the one named `default`].
    #[arg(value_parser = name)]
    project: Option<String>,

    /// A new name.
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,

    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// The project, by ID or name.
    #[arg(value_parser = name)]
    project: String,

    #[command(flatten)]
    consent: Consent,
}

/// Settings that can be given when a project is made and changed later.
#[derive(Debug, clap::Args)]
struct Settings {
    /// Idle time before a new endpoint sleeps, such as 5m; 0 = the server's default, -1 = never.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    suspend_timeout: Option<Timeout>,

    /// How long a new endpoint stays paused before it stops; 0 = never pause, -1 = stay paused.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pause_timeout: Option<Timeout>,

    /// The smallest size of a new endpoint, compute units (1 = one processor and 4 GiB).
    #[arg(long, value_name = "CU", value_parser = units)]
    min_cu: Option<f64>,

    /// The largest size of a new endpoint, compute units.
    #[arg(long, value_name = "CU", value_parser = units)]
    max_cu: Option<f64>,

    /// Libraries that PostgreSQL preloads, separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    preload: Option<Vec<String>>,

    /// How far back branches can be restored, such as 7d; at most 30d, 0 = not at all.
    #[arg(long, value_name = "TIME")]
    history: Option<Timeout>,

    /// Whether the owner role is a superuser; only for databases of people you trust with the machine.
    #[arg(long, value_name = "BOOL")]
    owner_is_superuser: Option<bool>,
}

impl Settings {
    fn of_endpoints(&self) -> Option<EndpointDefaultsPatch> {
        let patch = EndpointDefaultsPatch {
            suspend_timeout_seconds: self.suspend_timeout.map(|timeout| timeout.0),
            pause_timeout_seconds: self.pause_timeout.map(|timeout| timeout.0),
            autoscaling_limit_min_cu: self.min_cu,
            autoscaling_limit_max_cu: self.max_cu,
        };
        (patch != EndpointDefaultsPatch::default()).then_some(patch)
    }

    fn of_project(&self) -> Option<ProjectSettingsPatch> {
        let libraries = self.preload.clone().map(|names| names.into_iter().filter(|name| !name.is_empty()));
        let patch = ProjectSettingsPatch {
            preload_libraries: libraries.map(|names| PreloadLibraries { enabled_libraries: names.collect() }),
            owner_is_superuser: self.owner_is_superuser,
            ..ProjectSettingsPatch::default()
        };
        (patch != ProjectSettingsPatch::default()).then_some(patch)
    }
}

pub(crate) async fn run(command: Project, cx: &Context) -> Result<(), Error> {
    match command {
        Project::List => list(cx).await,
        Project::Create(args) => create(args, cx).await,
        Project::Get(args) => get(&args, cx).await,
        Project::Update(args) => update(args, cx).await,
        Project::Wake(args) => wake(&args, cx).await,
        Project::Delete(args) => delete(&args, cx).await,
    }
}

async fn list(cx: &Context) -> Result<(), Error> {
    let projects = resolve::all_projects(&cx.session()?).await?;
    cx.ui.show(&Projects { projects, pagination: None }, |list| {
        let mut table = Table::list(&["ID", "NAME", "PG", "CREATED"]);
        for project in &list.projects {
            table.row([
                project.id.to_string(),
                project.name.clone(),
                project.pg_version.to_string(),
                time(Some(project.created_at)),
            ]);
        }
        table
    })
}

async fn create(args: Create, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let branch = NewProjectBranch { name: args.branch, database_name: args.database, role_name: args.role };
    let project = NewProject {
        name: args.name,
        pg_version: args.pg_version,
        branch: (branch != NewProjectBranch::default()).then_some(branch),
        history_retention_seconds: args.settings.history.map(|history| history.0),
        default_endpoint_settings: args.settings.of_endpoints(),
        settings: args.settings.of_project(),
    };
    let progress = cx.ui.progress("Making the project");
    let created = session.call(client::project::create(&CreateProject { project })).await?;
    drop(progress);
    cx.ui.show(&created, created_table)
}

async fn get(args: &Get, cx: &Context) -> Result<(), Error> {
    let project = resolve::project(&cx.session()?, args.project.as_deref()).await?;
    cx.ui.show(&ProjectReply { project }, |reply| fields(&reply.project))
}

async fn wake(args: &Get, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let project = resolve::project(&session, args.project.as_deref()).await?;
    let progress = cx.ui.progress("Waking the endpoints");
    let woken = session.call(client::project::wake(&project.id)).await?;
    drop(progress);
    cx.ui.show(&woken, |woken| {
        let mut table = Table::list(&["ENDPOINT", "BRANCH", "WAS", "IS", "TOOK", "ERROR"]);
        for endpoint in &woken.endpoints {
            table.row([
                endpoint.endpoint_id.to_string(),
                endpoint.branch_id.to_string(),
                endpoint.was.name().to_owned(),
                endpoint.state.name().to_owned(),
                format!("{} ms", endpoint.took_ms),
                endpoint.error.clone().unwrap_or_default(),
            ]);
        }
        table
    })?;
    let failed = woken.endpoints.iter().filter(|endpoint| endpoint.error.is_some()).count();
    if failed > 0 {
        return Err(Error::failed(format!("{failed} of {} endpoints did not wake", woken.endpoints.len())));
    }
    Ok(())
}

async fn update(args: Update, cx: &Context) -> Result<(), Error> {
    let change = ProjectPatch {
        default_endpoint_settings: args.settings.of_endpoints(),
        history_retention_seconds: args.settings.history.map(|history| history.0),
        settings: args.settings.of_project(),
        name: args.name,
    };
    if change == ProjectPatch::default() {
        return Err(Error::usage("there is nothing to change").hint("See `dormouse project update --help`."));
    }
    let session = cx.session()?;
    let project = resolve::project(&session, args.project.as_deref()).await?;
    let changed =
        session.call(client::project::update(&project.id, &UpdateProject { project: change })).await?;
    cx.ui.show(&changed, |changed| fields(&changed.project))
}

async fn delete(args: &Delete, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let project = resolve::project(&session, Some(&args.project)).await?;
    let question = format!("Project `{}` ({}) and all its data will be removed.", project.name, project.id);
    cx.ui.confirm(&question, args.consent.yes)?;
    let progress = cx.ui.progress("Removing the project");
    let deleted = session.call(client::project::delete(&project.id)).await?;
    drop(progress);
    cx.ui.show(&deleted, |deleted| fields(&deleted.project))
}

fn created_table(created: &CreatedProject) -> Table {
    let connection = created.connection_uris.first();
    Table::fields([
        ("Project", format!("{} ({})", created.project.name, created.project.id)),
        ("PostgreSQL", created.project.pg_version.to_string()),
        ("Branch", format!("{} ({})", created.branch.name, created.branch.id)),
        ("Endpoint", created.endpoints.first().map(|endpoint| endpoint.id.to_string()).unwrap_or_default()),
        ("Connect", connection.map(|uri| uri.connection_uri.expose().clone()).unwrap_or_default()),
    ])
}

fn fields(project: &Resource) -> Table {
    let defaults = &project.default_endpoint_settings;
    Table::fields([
        ("ID", project.id.to_string()),
        ("Name", project.name.clone()),
        ("PostgreSQL", project.pg_version.to_string()),
        ("Default branch", project.default_branch_id.as_ref().map(ToString::to_string).unwrap_or_default()),
        (
            "Size",
            format!("{} to {} CU", defaults.autoscaling_limit_min_cu, defaults.autoscaling_limit_max_cu),
        ),
        ("Suspend timeout", seconds(defaults.suspend_timeout_seconds, "server's default", "never sleep")),
        ("Pause timeout", seconds(defaults.pause_timeout_seconds, "never pause", "stay paused")),
        ("History", seconds(project.history_retention_seconds, "none", "for ever")),
        ("Preload", project.settings.preload_libraries.enabled_libraries.join(", ")),
        ("Allowed addresses", allowed(project)),
        ("Owner is superuser", project.settings.owner_is_superuser.to_string()),
        ("Created", time(Some(project.created_at))),
        ("Updated", time(Some(project.updated_at))),
    ])
}

fn allowed(project: &Resource) -> String {
    let allowed = &project.settings.allowed_ips;
    match (allowed.ips.is_empty(), allowed.protected_branches_only) {
        (true, _) => "all".to_owned(),
        (false, false) => allowed.ips.join(", "),
        (false, true) => format!("{} (protected branches)", allowed.ips.join(", ")),
    }
}
