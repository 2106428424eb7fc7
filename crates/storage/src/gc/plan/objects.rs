//! Each object of the listing: live, dead, waiting for its time, or strange.

use std::collections::{BTreeMap, BTreeSet};

use dormouse_base::{BranchId, Epoch, Timestamp};

use super::need::Live;
use super::{Dead, Kind, Known, Limits, Look, Plan, Strange, age};
use crate::branch::record::{BranchRecord, Origin};
use crate::key::{self, Key, PieceName};
use crate::object::Listed;

/// What is to become of an object.
#[derive(Clone, Copy)]
enum Fate {
    Live,
    Dead(Kind),
    Strange(&'static str),
}

/// Sorts everything except packs.
pub(super) fn sort(look: &Look, live: &Live, limits: &Limits, now: Timestamp) -> Plan {
    let sorter = Sorter { look, live, limits, now };
    let mut plan = Plan::default();
    let mut registers: BTreeMap<Option<BranchId>, Vec<(u64, &Listed)>> = BTreeMap::new();
    let prefix = format!("{}/", key::project(&look.project));
    for object in &look.objects {
        let path: Vec<&str> =
            object.key.as_str().strip_prefix(&prefix).unwrap_or_default().split('/').collect();
        let fate = match path.as_slice() {
            ["packs", _] => Fate::Live,
            ["register", _] => sorter.version(None, object, &mut registers),
            ["branches", id, rest @ ..] => match id.parse::<BranchId>() {
                Ok(id) => sorter.of_branch(id, rest, object, &mut registers),
                Err(_) => Fate::Strange("not a branch"),
            },
            _ => Fate::Strange("not a name of this format"),
        };
        sorter.put(&mut plan, object, fate);
    }
    sorter.versions(&mut plan, &registers);
    plan.dead.sort_by_key(|dead| dead.kind);
    plan
}

struct Sorter<'a> {
    look: &'a Look,
    live: &'a Live,
    limits: &'a Limits,
    now: Timestamp,
}

type Registers<'a> = BTreeMap<Option<BranchId>, Vec<(u64, &'a Listed)>>;

impl Sorter<'_> {
    fn put(&self, plan: &mut Plan, object: &Listed, fate: Fate) {
        let kind = match fate {
            Fate::Live => return,
            Fate::Strange(why) => return plan.strange.push(Strange { key: object.key.clone(), why }),
            Fate::Dead(kind) => kind,
        };
        let dead = Dead { kind, key: object.key.clone(), size: object.size };
        let young = age(self.now, object.modified) < self.limits.grace;
        let findable = matches!(kind, Kind::Manifest | Kind::Boot);
        let stays = young || findable && self.is_uploading(&object.key);
        if !stays {
            return plan.dead.push(dead);
        }
        match kind {
            Kind::Manifest => plan.manifests.insert(object.key.clone()),
            Kind::Boot => plan.unlisted.insert(object.key.clone()),
            _ => false,
        };
        plan.waiting.push(dead);
    }

    fn is_uploading(&self, key: &Key) -> bool {
        let branch = key.as_str().rsplit('/').nth(2).and_then(|id| id.parse().ok());
        branch.is_some_and(|id| self.look.is_uploading(&id))
    }

    fn of_branch<'o>(
        &self,
        id: BranchId,
        rest: &[&str],
        object: &'o Listed,
        registers: &mut Registers<'o>,
    ) -> Fate {
        // Without a register it may be an import that has just begun, or the rest of an accident.
        if !self.look.branches.contains_key(&id) {
            return Fate::Strange("its branch has no register");
        }
        match rest {
            ["register", _] => self.version(Some(id), object, registers),
            ["snapshots", name] if name.ends_with(".manifest") => {
                dead_unless(self.live.manifests.contains(&object.key), Kind::Manifest)
            }
            ["boot", name] if name.ends_with(".boot") => {
                dead_unless(self.live.boots.contains(&object.key), Kind::Boot)
            }
            ["wal", epoch, _] => match (Epoch::from_key(epoch), PieceName::parse(&object.key)) {
                (Some(epoch), Some(piece)) => {
                    dead_unless(self.live.has_wal(&id, epoch, piece.start, piece.end), Kind::Wal)
                }
                _ => Fate::Strange("not a piece of WAL"),
            },
            _ => Fate::Strange("not a name of this format"),
        }
    }

    /// Collects the versions of a register; what becomes of them is decided when all are known.
    fn version<'o>(&self, of: Option<BranchId>, object: &'o Listed, registers: &mut Registers<'o>) -> Fate {
        match key::register_seq(&object.key) {
            Some(seq) => {
                registers.entry(of).or_default().push((seq, object));
                Fate::Live
            }
            None => Fate::Strange("not a version of a register"),
        }
    }

    fn versions(&self, plan: &mut Plan, registers: &Registers<'_>) {
        let mut rest = 0;
        for (branch, versions) in registers {
            let Some(id) = branch else { continue };
            let gone = self.look.branches.get(id).is_some_and(|known| self.is_gone(id, known, plan));
            rest += usize::from(!gone);
            self.old_versions(plan, Kind::Version, versions, gone);
        }
        let known = self.look.objects.iter().any(|object| self.is_pack(object));
        let strange = !plan.strange.is_empty();
        let gone = rest == 0
            && !known
            && !strange
            && plan.waiting.is_empty()
            && self.look.deleted_at.is_some_and(|at| age(self.now, at) >= self.limits.version_grace);
        if let Some(versions) = registers.get(&None) {
            self.old_versions(plan, Kind::Project, versions, gone);
        }
    }

    fn is_pack(&self, object: &Listed) -> bool {
        object.key.as_str().starts_with(&format!("{}/", key::packs(&self.look.project)))
    }

    /// Whether a deleted branch's register itself can go: nothing else of it is stored, and no other
    /// register names it as its parent.
    fn is_gone(&self, id: &BranchId, known: &Known, plan: &Plan) -> bool {
        let old = |at: Timestamp| age(self.now, at) >= self.limits.version_grace;
        let is_child =
            |other: &BranchRecord| matches!(&other.origin, Origin::Branch { parent, .. } if parent == id);
        let prefix = format!("{}/", key::branch(&self.look.project, id));
        let of_it = |key: &Key| key.as_str().starts_with(&prefix);
        let is_register = |key: &Key| key.as_str()[prefix.len()..].starts_with("register/");
        let dying: BTreeSet<&Key> = plan.dead.iter().map(|dead| &dead.key).collect();
        let mut rest = self.look.objects.iter().map(|o| &o.key).filter(|key| of_it(key) && !is_register(key));
        self.look.deleted_since(known).is_some_and(old)
            && !self.look.branches.values().any(|other| is_child(&other.record))
            && rest.all(|key| dying.contains(key))
            && !plan.strange.iter().any(|strange| of_it(&strange.key))
    }

    /// Superseded versions, oldest first; when the register itself can go, the newest one too, as the last.
    fn old_versions(&self, plan: &mut Plan, kind: Kind, versions: &[(u64, &Listed)], gone: bool) {
        let mut versions: Vec<_> = versions.to_vec();
        versions.sort_by_key(|(seq, _)| *seq);
        let kept = if gone { 0 } else { self.limits.versions_kept.max(1) };
        for (at, (_, object)) in versions.iter().enumerate().take(versions.len().saturating_sub(kept)) {
            let superseded = versions.get(at + 1).map(|(_, next)| next.modified);
            let old = superseded.is_none_or(|then| age(self.now, then) >= self.limits.version_grace);
            if !old {
                break;
            }
            plan.dead.push(Dead { kind, key: object.key.clone(), size: object.size });
        }
    }
}

fn dead_unless(live: bool, kind: Kind) -> Fate {
    if live { Fate::Live } else { Fate::Dead(kind) }
}
