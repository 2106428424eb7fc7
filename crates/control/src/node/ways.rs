//! What an operator chooses about the ways of a node.

/// Whether the directory of a new branch may be a clone of its stopped parent's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LocalClone {
    /// Where files can share blocks; then it takes little time and no space.
    #[default]
    Auto,
    /// Everywhere; where blocks cannot be shared, bytes are copied.
    Always,
    /// Never: every directory comes from the store.
    Never,
}

/// All of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ways {
    /// How the directory of a new branch may be made.
    pub local_clone: LocalClone,
}
