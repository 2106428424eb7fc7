//! What a backend does to roles, for those who remember what a role must prove, or whose a name is ([`RoleWatch`]).
//!
//! [`RoleWatch`]: dormouse_pgwire::scan::RoleWatch

use dormouse_pgwire::backend::TxStatus;

use super::server::Server;

impl Server {
    /// Whether something is under way that may change roles. If the connection ends now, nobody knows how that ended.
    #[must_use]
    pub fn may_change_roles(&self) -> bool {
        self.under_way.roles.is_under_way() || self.status != TxStatus::Idle || !self.expect.is_empty()
    }

    /// True once after a transaction that may have given names to other roles.
    pub fn take_roles_renamed(&mut self) -> bool {
        self.under_way.roles.take_renamed()
    }

    /// Whether the one that is under way may do that.
    #[must_use]
    pub fn may_rename_roles(&self) -> bool {
        self.under_way.roles.may_rename()
    }
}
