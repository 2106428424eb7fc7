//! Who a request comes from, and what they may do.
//!
//! ```text
//!  Authorization: Bearer dm_…      an API key        ──► the server, or one project
//!  Authorization: Bearer a.b.c     an OIDC token     ──► the same, by a claim
//!  Authorization: Bearer dms_…     a session         ──► what its API key may; browsers keep it in a cookie
//! ```
//!
//! Rights are coarse on purpose: a caller may use everything, or everything of one project except that
//! project's own existence. [`may`] decides; the table of routes says what each one needs. [`oidc`] verifies
//! tokens, [`jwks`] keeps the issuer's keys, [`crypto`] is the mathematics. [`session`] is what browsers have.

use dormouse_api::audit::{Actor, ActorKind};
use dormouse_api::routes::Access;
use dormouse_base::ProjectId;

pub mod oidc;
pub mod jwks;
pub mod session;
mod crypto;

pub use oidc::{Oidc, OidcSettings};

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who, as the audit shows it.
    pub actor: Actor,
    /// The only project that they may use; `None` = every project, and the server.
    pub project: Option<ProjectId>,
}

impl Caller {
    /// Whoever has a route's [`Access::Anybody`] needs no name.
    #[must_use]
    pub fn nobody() -> Self {
        Self {
            actor: Actor { kind: ActorKind::ApiKey, id: String::new(), name: String::new() },
            project: None,
        }
    }

    /// Whether something of this project may be shown to them.
    #[must_use]
    pub fn sees(&self, project: &ProjectId) -> bool {
        self.project.as_ref().is_none_or(|own| own == project)
    }
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The route is about the whole server.
    WholeServer,
    /// The route is about another project.
    OtherProject,
}

/// Whether a caller may use a route. `named` is the project in its path, if there is one and it exists.
///
/// # Errors
/// When they may not.
pub fn may(caller: &Caller, access: Access, named: Option<&ProjectId>) -> Result<(), Refusal> {
    let Some(own) = &caller.project else { return Ok(()) };
    match access {
        Access::Anybody | Access::Caller | Access::Listed => Ok(()),
        Access::Organisation => Err(Refusal::WholeServer),
        // A project that does not exist is refused like one of others, so that nobody can try names.
        Access::Project if named == Some(own) => Ok(()),
        Access::Project => Err(Refusal::OtherProject),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_bound_to_a_project_stays_there() {
        let own: ProjectId = "calm-oak-abcd2345".parse().unwrap();
        let other: ProjectId = "wild-elm-abcd2345".parse().unwrap();
        let bound = Caller { project: Some(own.clone()), ..Caller::nobody() };
        assert_eq!(may(&bound, Access::Project, Some(&own)), Ok(()));
        assert_eq!(may(&bound, Access::Project, Some(&other)), Err(Refusal::OtherProject));
        assert_eq!(may(&bound, Access::Project, None), Err(Refusal::OtherProject));
        assert_eq!(may(&bound, Access::Organisation, Some(&own)), Err(Refusal::WholeServer));
        assert_eq!(may(&bound, Access::Listed, None), Ok(()));
        let all = Caller::nobody();
        assert!(all.sees(&own) && !Caller { project: Some(other), ..all.clone() }.sees(&own));
        assert_eq!(may(&all, Access::Organisation, None), Ok(()));
    }
}
