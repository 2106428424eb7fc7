//! The layout of the store, in one place. Format version 1:
//!
//! ```text
//! format                                                  what wrote this store, and the format version
//! templates/<T>/manifest                                  a pristine cluster; root branches begin with it
//! templates/<T>/packs/<epoch>-<ulid>.pack
//! projects/P/register/<seq>                               what the control plane must find again (JSON)
//! projects/P/branches/B/register/<seq>                    the branch: parent, epochs, snapshots (JSON)
//! projects/P/branches/B/snapshots/<lsn>-<epoch>.manifest
//! projects/P/branches/B/boot/<lsn>-<epoch>.boot
//! projects/P/branches/B/wal/<epoch>/<start>-<end>-<time>.wal
//! projects/P/branches/B/snapshots/<lsn>-<epoch>-<generation>.manifest   the same snapshot with its chunks in other
//! projects/P/branches/B/boot/<lsn>-<epoch>-<generation>.boot            packs, made by garbage collection
//! projects/P/packs/<epoch>-<ulid>.pack                    chunks and segment maps of all its branches
//! ```
//!
//! `<lsn>`, `<start>`, `<end>`, `<seq>` and `<time>` are 16 hexadecimal digits, `<epoch>` is 8,
//! `<generation>` is 4 (from 1; what has none is generation 0). `<time>` is the
//! time of the last commit up to the end of the piece, microseconds since 2000-01-01 (PostgreSQL's clock),
//! so that one listing answers "which piece holds this moment". A register is a chain of immutable
//! versions: the highest number wins, and a version is made with *create if absent*, which is the only
//! arbitration that every store offers. `branch.json` of the design is the newest version.

use std::fmt;

use dormouse_base::{BranchId, Epoch, Lsn, ProjectId};
use serde::{Deserialize, Serialize};

/// The version of the layout and of every format in it.
pub const FORMAT_VERSION: u32 = 1;

/// The key of an object, or the beginning of keys.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part behind the last slash.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// A key as a listing or a register told it.
    #[must_use]
    pub fn from_store(text: &str) -> Self {
        Self(text.to_owned())
    }

    fn join(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.0))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `format`.
#[must_use]
pub fn format() -> Key {
    Key("format".to_owned())
}

/// The beginning of everything of all projects.
#[must_use]
pub fn projects() -> Key {
    Key("projects".to_owned())
}

/// The beginning of everything of all templates.
#[must_use]
pub fn templates() -> Key {
    Key("templates".to_owned())
}

/// The beginning of everything of one template.
#[must_use]
pub fn template(id: &str) -> Key {
    templates().join(id)
}

/// The manifest of a template.
#[must_use]
pub fn template_manifest(id: &str) -> Key {
    template(id).join("manifest")
}

/// The beginning of everything of a project.
#[must_use]
pub fn project(project: &ProjectId) -> Key {
    projects().join(project.as_str())
}

/// The beginning of a project's register.
#[must_use]
pub fn project_register(id: &ProjectId) -> Key {
    project(id).join("register")
}

/// The beginning of everything of all branches of a project.
#[must_use]
pub fn branches(id: &ProjectId) -> Key {
    project(id).join("branches")
}

/// The beginning of everything of a branch, except its chunks.
#[must_use]
pub fn branch(project: &ProjectId, branch: &BranchId) -> Key {
    branches(project).join(branch.as_str())
}

/// The beginning of a branch's register.
#[must_use]
pub fn branch_register(project: &ProjectId, id: &BranchId) -> Key {
    branch(project, id).join("register")
}

/// One version of a register.
#[must_use]
pub fn register_version(register: &Key, seq: u64) -> Key {
    register.join(&format!("{seq:016x}"))
}

/// The number of a register's version.
#[must_use]
pub fn register_seq(key: &Key) -> Option<u64> {
    Lsn::from_key(key.name()).map(|lsn| lsn.0)
}

/// A snapshot's manifest.
#[must_use]
pub fn manifest(project: &ProjectId, id: &BranchId, lsn: Lsn, epoch: Epoch) -> Key {
    branch(project, id).join(&format!("snapshots/{}-{}.manifest", lsn.key(), epoch.key()))
}

/// A snapshot's boot pack.
#[must_use]
pub fn boot(project: &ProjectId, id: &BranchId, lsn: Lsn, epoch: Epoch) -> Key {
    branch(project, id).join(&format!("boot/{}-{}.boot", lsn.key(), epoch.key()))
}

/// The key of the same manifest or boot pack in its next generation: its chunks are in other packs, all else
/// is the same. `None` when it is not such a key, or there are no more generations.
#[must_use]
pub fn next_generation(key: &Key) -> Option<Key> {
    let (place, name) = key.0.rsplit_once('/')?;
    let (stem, ending) = name.rsplit_once('.')?;
    let mut parts = stem.split('-');
    let (lsn, epoch) = (Lsn::from_key(parts.next()?)?, Epoch::from_key(parts.next()?)?);
    let generation = parts.next().map_or(Some(0), |text| u16::from_str_radix(text, 16).ok())?;
    let next = generation.checked_add(1)?;
    if parts.next().is_some() || !matches!(ending, "manifest" | "boot") {
        return None;
    }
    Some(Key(format!("{place}/{}-{}-{next:04x}.{ending}", lsn.key(), epoch.key())))
}

/// The writer of a manifest or boot pack; `None` when it is not such a key.
#[must_use]
pub fn writer_of(key: &Key) -> Option<Epoch> {
    let (stem, ending) = key.name().rsplit_once('.')?;
    let mut parts = stem.split('-').skip(1);
    matches!(ending, "manifest" | "boot").then(|| Epoch::from_key(parts.next()?))?
}

/// The beginning of the WAL of one epoch of a branch.
#[must_use]
pub fn wal(project: &ProjectId, id: &BranchId, epoch: Epoch) -> Key {
    branch(project, id).join(&format!("wal/{}", epoch.key()))
}

/// The beginning of a project's packs.
#[must_use]
pub fn packs(id: &ProjectId) -> Key {
    project(id).join("packs")
}

/// One pack below `packs` (a project's or a template's).
#[must_use]
pub fn pack(packs: &Key, name: &str) -> Key {
    packs.join(&format!("{name}.pack"))
}

/// The beginning of a template's packs.
#[must_use]
pub fn template_packs(id: &str) -> Key {
    template(id).join("packs")
}

/// A piece of WAL: what its key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PieceName {
    /// The first byte.
    pub start: Lsn,
    /// Behind the last byte.
    pub end: Lsn,
    /// Time of the last commit up to `end`, microseconds since 2000-01-01; 0 = none so far.
    pub last_commit: u64,
}

impl PieceName {
    /// The key of this piece in an epoch's WAL.
    #[must_use]
    pub fn key(&self, wal: &Key) -> Key {
        wal.join(&format!("{}-{}-{:016x}.wal", self.start.key(), self.end.key(), self.last_commit))
    }

    /// Reads a key that a listing told.
    #[must_use]
    pub fn parse(key: &Key) -> Option<Self> {
        let mut parts = key.name().strip_suffix(".wal")?.split('-').map(Lsn::from_key);
        let (start, end, time) = (parts.next()??, parts.next()??, parts.next()??);
        (parts.next().is_none() && start < end).then_some(Self { start, end, last_commit: time.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_follow_each_other() {
        let (project, id): (ProjectId, BranchId) = ("p".parse().unwrap(), "br-a".parse().unwrap());
        let first = next_generation(&manifest(&project, &id, Lsn(16), Epoch(2))).unwrap();
        assert!(first.as_str().ends_with("snapshots/0000000000000010-00000002-0001.manifest"));
        let second = next_generation(&first).unwrap();
        assert_eq!((writer_of(&first), writer_of(&packs(&project))), (Some(Epoch(2)), None));
        assert!(second.as_str().ends_with("0000000000000010-00000002-0002.manifest"));
        let boot = next_generation(&boot(&project, &id, Lsn(16), Epoch(2))).unwrap();
        assert!(boot.as_str().ends_with("boot/0000000000000010-00000002-0001.boot"));
        assert_eq!(next_generation(&Key::from_store("a/0000000000000010-00000002-ffff.boot")), None);
        assert_eq!(next_generation(&template_manifest("t")), None);
    }
}
