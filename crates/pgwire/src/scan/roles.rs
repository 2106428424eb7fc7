//! Which commands may change what a role must prove, told by their tags.
//!
//! ```text
//!            CommandComplete: may change roles,
//!            ErrorResponse                          ReadyForQuery: idle
//!   nothing ───────────────────────────────► under way ─────────────────────► nothing
//!                                              │    ▲
//!                                              └────┘ any completion, any ReadyForQuery: may be committed
//! ```
//!
//! Only data, transactions, cursors and settings are known not to. Everything else counts, whatever it is. What a tag does
//! not tell is what a function or a trigger did while rows were read or written.
//!
//! After `ALTER ROLE` and `DROP ROLE` a name may be another role's as well, which counts when the transaction is over:
//! connections that were made under that name are not of use any more.

use crate::backend::TxStatus;

/// Bytes of a tag that tell enough.
pub(super) const TAG_LEN: usize = 8;

/// Beginnings of tags that leave roles alone, without their tails beyond [`TAG_LEN`]; a zero ends a tag.
const ORDINARY: [&[u8]; 27] = [
    b"SELECT ",
    b"INSERT ",
    b"UPDATE ",
    b"DELETE ",
    b"MERGE ",
    b"COPY ",
    b"FETCH ",
    b"MOVE ",
    b"BEGIN\0",
    b"START TR",
    b"COMMIT\0",
    b"ROLLBACK",
    b"SAVEPOIN",
    b"RELEASE\0",
    b"PREPARE",
    b"DEALLOCA",
    b"DECLARE ",
    b"CLOSE CU",
    b"SET\0",
    b"SET CONS",
    b"RESET\0",
    b"SHOW\0",
    b"DISCARD ",
    b"LISTEN\0",
    b"UNLISTEN",
    b"NOTIFY\0",
    b"EXPLAIN\0",
];

/// Beginnings of tags after which a name may be another role's.
const RENAMES: [&[u8]; 2] = [b"ALTER RO", b"DROP ROL"];

/// Whether a command with a tag that begins so may have changed a role.
#[must_use]
pub fn may_change_roles(tag: &[u8]) -> bool {
    let tag = &tag[..tag.len().min(TAG_LEN)];
    !ORDINARY.iter().any(|ordinary| tag.starts_with(ordinary))
}

/// Whether a transaction has done something that may have changed a role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoleWatch {
    under_way: bool,
    renames: bool,
    renamed: bool,
}

impl RoleWatch {
    /// Nothing was done yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { under_way: false, renames: false, renamed: false }
    }

    /// A command was completed. True when roles may have changed with it.
    pub fn completed(&mut self, tag: &[u8]) -> bool {
        self.under_way |= may_change_roles(tag);
        self.renames |= RENAMES.iter().any(|renames| tag.starts_with(renames));
        self.under_way
    }

    /// ErrorResponse. A block or a procedure may have committed before it failed, and has no completion then; so roles
    /// may always have changed.
    pub fn failed(&mut self) -> bool {
        self.under_way = true;
        true
    }

    /// ReadyForQuery. True when roles may have changed since the one before.
    pub fn ready(&mut self, status: TxStatus) -> bool {
        let before = self.under_way;
        self.under_way &= status != TxStatus::Idle;
        if status == TxStatus::Idle {
            self.renamed |= std::mem::take(&mut self.renames);
        }
        before
    }

    /// True once after a transaction that may have given names to other roles.
    pub fn take_renamed(&mut self) -> bool {
        std::mem::take(&mut self.renamed)
    }

    /// Whether the one that is under way may do that.
    #[must_use]
    pub fn may_rename(self) -> bool {
        self.renames
    }

    /// Whether it is not known yet how it ends: roles may change when it is committed.
    #[must_use]
    pub fn is_under_way(self) -> bool {
        self.under_way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_transactions_leave_roles_alone() {
        for tag in
            ["SELECT 1", "INSERT 0 5", "COPY 7", "BEGIN", "COMMIT", "ROLLBACK", "SET", "PREPARE TRANSACTION"]
        {
            assert!(!may_change_roles(format!("{tag}\0").as_bytes()), "{tag}");
        }
        for tag in [
            "ALTER ROLE",
            "CREATE ROLE",
            "DROP ROLE",
            "DO",
            "CALL",
            "COMMIT PREPARED",
            "CREATE EXTENSION",
            "DROP OWNED",
            "SECURITY LABEL",
            "SETTLE",
            "",
            "?",
        ] {
            assert!(may_change_roles(format!("{tag}\0").as_bytes()), "{tag}");
        }
        assert!(may_change_roles(b""));
    }

    #[test]
    fn a_change_counts_when_it_may_be_committed() {
        let mut watch = RoleWatch::default();
        assert!(!watch.completed(b"BEGIN\0") && !watch.ready(TxStatus::InTransaction));
        assert!(watch.completed(b"ALTER ROLE\0") && watch.ready(TxStatus::InTransaction));
        assert!(watch.completed(b"SELECT 1\0") && watch.is_under_way());
        assert!(watch.may_rename() && !watch.take_renamed(), "others do not see it yet");
        assert!(watch.completed(b"COMMIT\0") && watch.ready(TxStatus::Idle));
        assert!(watch.take_renamed() && !watch.take_renamed() && !watch.may_rename());
        assert!(!watch.is_under_way() && !watch.ready(TxStatus::Idle) && !watch.completed(b"SELECT 1\0"));
        assert!(watch.failed() && watch.ready(TxStatus::Idle) && !watch.is_under_way());
    }
}
