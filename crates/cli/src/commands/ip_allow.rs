//! `dormouse ip-allow …`: which client addresses may connect to a project, or to one endpoint of it.

use dormouse_api::client;
use dormouse_api::endpoint::{EndpointPatch, UpdateEndpoint};
use dormouse_api::project::{AllowedIps, AllowedIpsPatch, ProjectPatch, ProjectSettingsPatch, UpdateProject};
use dormouse_api::{Endpoint, Project};

use super::Context;
use crate::args::{InProject, name};
use crate::connect::http::Session;
use crate::error::Error;
use crate::resolve;
use crate::ui::Table;

/// Say which client addresses may connect; changes are for new connections
///
/// An entry is an address (192.0.2.7), a range (192.0.2.10-192.0.2.20) or a network (192.0.2.0/24), of IPv4
/// or IPv6. An empty list lets everybody in; loopback is not special. An endpoint's own list can only be
/// stricter than its project's.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum IpAllow {
    /// List the addresses that may connect
    List(On),
    /// Add addresses to those that may connect
    Add(Add),
    /// Remove addresses from those that may connect
    Remove(Remove),
    /// Replace the whole list; without addresses everybody may connect again
    Reset(Reset),
}

/// Whose list is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct On {
    /// The list of this endpoint, by ID or branch [default: the project's list].
    #[arg(long, value_name = "ENDPOINT", value_parser = name)]
    endpoint: Option<String>,

    #[command(flatten)]
    of: InProject,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// Addresses, ranges and networks.
    #[arg(value_name = "IP")]
    ips: Vec<String>,

    /// Whether the project's list holds for protected branches only.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    protected_only: Option<bool>,

    #[command(flatten)]
    on: On,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// Entries, written as in the list.
    #[arg(value_name = "IP", required = true)]
    ips: Vec<String>,

    #[command(flatten)]
    on: On,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Reset {
    /// Addresses, ranges and networks.
    #[arg(value_name = "IP")]
    ips: Vec<String>,

    #[command(flatten)]
    on: On,
}

/// A list and whose it is.
enum Owner {
    Project(Box<Project>),
    Endpoint(Box<Endpoint>),
}

impl Owner {
    async fn find(on: &On, session: &Session) -> Result<Self, Error> {
        let project = on.of.project.as_deref();
        Ok(match &on.endpoint {
            Some(given) => Self::Endpoint(Box::new(resolve::endpoint(session, project, Some(given)).await?)),
            None => Self::Project(Box::new(resolve::project(session, project).await?)),
        })
    }

    fn list(&self) -> AllowedIps {
        match self {
            Self::Project(project) => project.settings.allowed_ips.clone(),
            Self::Endpoint(endpoint) => {
                AllowedIps { ips: endpoint.allowed_ips.clone(), protected_branches_only: false }
            }
        }
    }

    /// Replaces the list; returns it as it is then.
    async fn store(self, wanted: AllowedIpsPatch, session: &Session) -> Result<AllowedIps, Error> {
        let owner = match self {
            Self::Project(project) => {
                let settings =
                    ProjectSettingsPatch { allowed_ips: Some(wanted), ..ProjectSettingsPatch::default() };
                let project_patch = ProjectPatch { settings: Some(settings), ..ProjectPatch::default() };
                let call = client::project::update(&project.id, &UpdateProject { project: project_patch });
                Self::Project(Box::new(session.call(call).await?.project))
            }
            Self::Endpoint(endpoint) => {
                let patch = EndpointPatch { allowed_ips: wanted.ips, ..EndpointPatch::default() };
                let change = UpdateEndpoint { endpoint: patch };
                let call = client::endpoint::update(&endpoint.project_id, &endpoint.id, &change);
                Self::Endpoint(Box::new(session.call(call).await?.endpoint))
            }
        };
        Ok(owner.list())
    }
}

pub(crate) async fn run(command: IpAllow, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let on = match &command {
        IpAllow::List(on) => on,
        IpAllow::Add(Add { on, .. })
        | IpAllow::Remove(Remove { on, .. })
        | IpAllow::Reset(Reset { on, .. }) => on,
    };
    let owner = Owner::find(on, &session).await?;
    let before = owner.list();
    let list = match command {
        IpAllow::List(_) => {
            if before.ips.is_empty() {
                cx.ui.note("The list is empty: every address may connect.");
            }
            before
        }
        IpAllow::Add(args) => {
            if args.ips.is_empty() && args.protected_only.is_none() {
                return Err(Error::usage("there is nothing to add").hint("Name an address."));
            }
            if args.protected_only.is_some() && args.on.endpoint.is_some() {
                return Err(Error::usage("`--protected-only` is about the project's list"));
            }
            let ips = Some([before.ips, args.ips].concat());
            let wanted = AllowedIpsPatch { ips, protected_branches_only: args.protected_only };
            owner.store(wanted, &session).await?
        }
        IpAllow::Remove(args) => {
            let ips = without(before.ips, &args.ips)?;
            if ips.is_empty() {
                cx.ui.note("The list is empty now: every address may connect.");
            }
            owner.store(AllowedIpsPatch { ips: Some(ips), protected_branches_only: None }, &session).await?
        }
        IpAllow::Reset(args) => {
            let wanted = AllowedIpsPatch { ips: Some(args.ips), protected_branches_only: None };
            owner.store(wanted, &session).await?
        }
    };
    cx.ui.show(&list, |list| {
        let mut table = Table::list(&["ALLOWED", "WHERE"]);
        let place = if list.protected_branches_only { "protected branches" } else { "everywhere" };
        for ip in &list.ips {
            table.row([ip.clone(), place.to_owned()]);
        }
        table
    })
}

/// A list without these entries, which must be in it.
fn without(mut list: Vec<String>, gone: &[String]) -> Result<Vec<String>, Error> {
    if let Some(unknown) = gone.iter().find(|ip| !list.contains(ip)) {
        return Err(Error::not_found(format!("`{unknown}` is not in the list"))
            .hint("See it with `dormouse ip-allow list`."));
    }
    list.retain(|ip| !gone.contains(ip));
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_removed() {
        let list = || ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(without(list(), &["b".to_owned(), "a".to_owned()]).unwrap(), ["c"]);
        assert!(without(list(), &["a".to_owned(), "d".to_owned()]).is_err());
    }
}
