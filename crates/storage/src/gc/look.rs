//! Reads a project as it is: the listing first, then the registers, so that whatever a register lists was
//! stored when it was read and whatever is stored and not listed was so at the time of the listing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use dormouse_base::{BranchId, Epoch, Lsn, ProjectId, Timestamp};

use super::GcError;
use super::plan::{Known, Look};
use super::window::{Pieces, Windows, keep_from, piece_of};
use crate::branch::record::BranchRecord;
use crate::branch::register::{BranchRegister, ProjectRegister, RegisterError};
use crate::key::{self, FORMAT_VERSION, Key};
use crate::object::{Listed, Store};

/// The registers of a project. They remember what they read, so looking again is cheap.
pub(crate) struct Registers {
    store: Store,
    project_id: ProjectId,
    project: ProjectRegister,
    branches: BTreeMap<BranchId, BranchRegister>,
}

/// A look, and the pieces of WAL in it.
pub(crate) struct Seen {
    pub(crate) look: Look,
    pub(crate) pieces: Pieces,
    /// Writers whose WAL is there, and which their branch's register does not know, by branch.
    pub(crate) strangers: BTreeMap<BranchId, Epoch>,
}

/// The newest writer with WAL in the store, if it is newer than all that a branch's register knows of. Each claims the
/// register before it writes: the version that says so must have been there, and is missing.
pub(crate) fn stranger(record: &BranchRecord, pieces: &Pieces) -> Option<Epoch> {
    let of = |epoch| (record.branch.clone(), epoch);
    let later = (Bound::Excluded(of(record.epoch)), Bound::Included(of(Epoch(u32::MAX))));
    pieces.range(later).map(|((_, epoch), _)| *epoch).next_back()
}

/// A register that cannot be understood, or fails for another reason.
fn opaque(error: RegisterError) -> Result<Option<Key>, GcError> {
    match error {
        RegisterError::Missing(_) => Ok(None),
        RegisterError::Newer { key, .. } | RegisterError::Damaged { key, .. } => Ok(Some(key)),
        error => Err(GcError::Register(error)),
    }
}

impl Registers {
    pub(crate) fn new(store: &Store, project: &ProjectId) -> Self {
        let register = ProjectRegister::of(store, project);
        Self {
            store: store.clone(),
            project_id: project.clone(),
            project: register,
            branches: BTreeMap::new(),
        }
    }

    pub(crate) fn branch(&mut self, id: &BranchId) -> &BranchRegister {
        let (store, project) = (&self.store, &self.project_id);
        self.branches.entry(id.clone()).or_insert_with(|| BranchRegister::of(store, project, id))
    }

    /// Lists and reads everything. `windows` says how far back is kept, at the time `now`.
    pub(crate) async fn look(&mut self, windows: Option<(&dyn Windows, Timestamp)>) -> Result<Seen, GcError> {
        let objects = self.store.list(&key::project(&self.project_id), None).await.map_err(GcError::Store)?;
        self.read(objects, windows).await
    }

    /// Reads the registers that a listing shows.
    async fn read(
        &mut self,
        objects: Vec<Listed>,
        windows: Option<(&dyn Windows, Timestamp)>,
    ) -> Result<Seen, GcError> {
        let (mut opaque_keys, mut deleted_at) = (Vec::new(), None);
        match self.project.version().await {
            Ok(version) if version.value.format <= FORMAT_VERSION => deleted_at = version.deleted_at,
            Ok(_) => opaque_keys.push(self.project.prefix().clone()),
            Err(error) => opaque_keys.extend(opaque(error)?),
        }
        let pieces = pieces(&objects);
        let (mut branches, mut strangers) = (BTreeMap::new(), BTreeMap::new());
        for id in branch_ids(&self.project_id, &objects) {
            let register = self.branch(&id);
            let prefix = register.prefix().clone();
            match register.version().await {
                Ok(version) if version.value.format <= FORMAT_VERSION && version.value.branch == id => {
                    let (record, seq, deleted_at) = (version.value, version.seq, version.deleted_at);
                    // What was listed before the register was read is no news that it lacks.
                    if let Some(epoch) = stranger(&record, &pieces) {
                        opaque_keys.push(prefix);
                        strangers.insert(id.clone(), epoch);
                    }
                    let keep_from = windows.map_or(Some(Lsn::ZERO), |(windows, now)| {
                        let window = windows.window(&self.project_id, &record)?;
                        let limit = now.checked_sub(window).unwrap_or(Timestamp::MIN);
                        let points = windows.points(&self.project_id, &record)?;
                        Some(points.into_iter().fold(keep_from(&record, &pieces, limit, now), Lsn::min))
                    });
                    branches.insert(id, Known { record, seq, deleted_at, keep_from });
                }
                Ok(_) => opaque_keys.push(prefix),
                Err(error) => opaque_keys.extend(opaque(error)?),
            }
        }
        let (project_id, pins) = (self.project_id.clone(), Vec::new());
        let look = Look { project: project_id, deleted_at, opaque: opaque_keys, branches, objects, pins };
        Ok(Seen { look, pieces, strangers })
    }

    /// Whether no register has changed since a look.
    pub(crate) async fn is_still(&mut self, look: &Look) -> Result<bool, GcError> {
        for (id, known) in &look.branches {
            match self.branch(id).version().await {
                Ok(version) if version.seq == known.seq => {}
                Ok(_) | Err(RegisterError::Missing(_)) => return Ok(false),
                Err(error) => return Err(GcError::Register(error)),
            }
        }
        Ok(true)
    }
}

/// The branches that have any version of a register in the listing.
fn branch_ids(project: &ProjectId, objects: &[Listed]) -> BTreeSet<BranchId> {
    let prefix = format!("{}/", key::branches(project));
    let of = |object: &Listed| {
        let rest = object.key.as_str().strip_prefix(&prefix)?;
        let (branch, rest) = rest.split_once('/')?;
        rest.strip_prefix("register/")?;
        branch.parse().ok()
    };
    objects.iter().filter_map(of).collect()
}

/// The pieces of WAL in a listing.
fn pieces(objects: &[Listed]) -> Pieces {
    let mut pieces = Pieces::new();
    for (branch, epoch, piece) in objects.iter().filter_map(|object| piece_of(&object.key)) {
        pieces.entry((branch, epoch)).or_default().push(piece);
    }
    pieces
}
