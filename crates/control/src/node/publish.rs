//! Tells the branch's register that there is a new writer.
//!
//! Happens while PostgreSQL boots and is done before any client gets in: what this writer files counts only
//! from then on, and what an earlier one still might file does not any more.

use dormouse_base::clock::Mono;
use dormouse_base::{EndpointId, Lsn};
use dormouse_runtime::failpoint;
use dormouse_storage::branch::record::{BranchRecord, Span};
use dormouse_storage::branch::register::UpdateError;
use dormouse_storage::restore;

use super::resident::Resident;
use super::standing::{Standing, TakenOver};
use super::{Node, NodeError};

impl Node {
    /// Makes sure that the register names this directory's writer, with an open span. Asks nothing when that is known.
    ///
    /// # Errors
    /// When the store fails, or another writer took over: then the compute must not be opened.
    pub(crate) async fn publish(&self, endpoint: &EndpointId) -> Result<(), NodeError> {
        let home = self.home(endpoint);
        let mut held = home.held().await?;
        if held.writer().is_some() {
            return self.confirm_before_clients(&home, &mut held).await;
        }
        let (held_hydration, made) = (held.hydration.clone(), held.made);
        let Some(resident) = held.resident.as_mut().filter(|r| r.writes()) else { return Ok(()) };
        if !made && !resident.is_whole() {
            // The compute of a server that died when it heard that: the disk would say yes this time.
            let text = "its directory was refused before: the next start makes it again";
            return Err(NodeError::Busy(text.to_owned()));
        }
        // What the machine's disk does not have yet must not be lost together with an acknowledged commit. A
        // machine that loses it after the register was written leaves a writer that never wrote.
        let data = home.data();
        let durable = async {
            match &held_hydration {
                Some(hydration) => {
                    hydration.make_durable().await.map_err(NodeError::part("store the directory"))
                }
                None => restore::sync(&data).await.map_err(NodeError::part("store the directory")),
            }
        };
        failpoint::hit("publish.register.before").await.map_err(NodeError::file("publish", &home.path))?;
        let register = self.inner.registers.branch(&resident.project, &resident.branch);
        let wanted = resident.clone();
        let update = register.update(move |record| with_writer(record, &wanted));
        let (stored, updated) = tokio::join!(durable, update);
        if let Err(error) = stored {
            // What the disk refused once it takes the next time without having it: the next start makes it again.
            resident.forsake();
            let (resident, path) = (resident.clone(), home.path.clone());
            let _for_this_server = dormouse_runtime::task::blocking(move || resident.write(&path)).await;
            return Err(error);
        }
        let (_, record) = match updated {
            Ok(updated) => updated,
            Err(UpdateError::Refused(refused)) => {
                // Nobody was ever let in, so the next start makes it again, of what the store has then.
                resident.forsake();
                return Err(refused.error(resident));
            }
            Err(UpdateError::Register(error)) => return Err(NodeError::Register(error)),
        };
        failpoint::hit("publish.register.after").await.map_err(NodeError::file("publish", &home.path))?;
        let mut known = resident.clone();
        known.epoch = Some(record.epoch);
        let (kept, path) = (known.clone(), home.path.clone());
        let written = dormouse_runtime::task::blocking(move || kept.write(&path)).await;
        // Not before the disk has it: the next start of this server would let clients in, and after the loss of power
        // the directory would count for nothing.
        written.map_err(NodeError::file("record the writer in", &home.path))?;
        *resident = known;
        held.standing = Standing::Named(Mono::now());
        Ok(())
    }
}

/// Why a new writer does not become the branch's newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    TakenOver(TakenOver),
    /// The predecessor listed a snapshot of what it wrote behind the place where this one would begin.
    #[error("the branch went on to {0} while its directory was made")]
    WentOn(Lsn),
}

impl Refused {
    fn error(self, resident: &Resident) -> NodeError {
        match self {
            Self::TakenOver(taken) => taken.error(resident),
            Self::WentOn(_) => NodeError::Busy(format!("{self}: the next start makes it again")),
        }
    }
}

/// Where the newest snapshot is that a writer from `from` on would cut off.
fn went_on(record: &BranchRecord, from: Lsn) -> Option<Lsn> {
    let end = record.spans.last().and_then(|last| last.to).unwrap_or(Lsn(u64::MAX));
    let counting = record.snapshots.iter().filter(|snapshot| record.counts(snapshot));
    counting.map(|snapshot| snapshot.lsn.min(end)).filter(|lsn| *lsn > from).max()
}

/// The register with this directory's writer as the newest. The predecessor's span ends where it begins.
fn with_writer(mut record: BranchRecord, resident: &Resident) -> Result<BranchRecord, Refused> {
    let mine = |span: &Span| {
        (span.timeline, span.from, span.mark) == (resident.timeline, resident.from, resident.mark)
            && span.to.is_none()
    };
    if record.epoch == resident.seen.next() && record.spans.last().is_some_and(mine) {
        // A crash came between the register and our own file.
        return Ok(record);
    }
    if record.epoch != resident.seen {
        return Err(Refused::TakenOver(TakenOver::of(&record, resident, resident.from)));
    }
    if let Some(lsn) = went_on(&record, resident.from) {
        return Err(Refused::WentOn(lsn));
    }
    while let Some(last) = record.spans.last_mut() {
        if last.from < resident.from {
            last.to = Some(last.to.map_or(resident.from, |to: Lsn| to.min(resident.from)));
            break;
        }
        // It never got anywhere.
        record.spans.pop();
    }
    record.epoch = record.epoch.next();
    record.spans.push(Span {
        epoch: record.epoch,
        timeline: resident.timeline,
        from: resident.from,
        to: None,
        mark: resident.mark,
    });
    Ok(record)
}

#[cfg(test)]
mod tests {
    use dormouse_base::{Epoch, Timeline, Timestamp};
    use dormouse_storage::branch::record::{SnapshotKind, SnapshotRecord};
    use dormouse_storage::key;

    use dormouse_compute::postgres::discover::Installations;
    use dormouse_compute::sandbox::identity::{Identities, Identity};

    use super::super::resident::Fresh;
    use super::super::standing::tests::record;
    use super::*;
    use crate::directory::Directories;

    fn resident(seen: u32, timeline: u32, from: u64) -> Resident {
        Resident::new(Fresh { timeline: Timeline(timeline), ..Fresh::sample(seen, from) }, None, false)
    }

    #[test]
    fn a_new_writer_ends_its_predecessors_span() {
        let first = with_writer(record(&[]), &resident(0, 1, 100)).unwrap();
        let second = with_writer(first, &resident(1, 2, 500)).unwrap();
        assert_eq!(second.epoch, Epoch(2));
        assert_eq!((second.spans[0].to, second.spans[1].to), (Some(Lsn(500)), None));
        // One that never wrote leaves no trace but its number.
        let third = with_writer(second, &resident(2, 3, 500)).unwrap();
        assert_eq!(third.spans.iter().map(|s| s.epoch.0).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn publishing_twice_is_publishing_once() {
        let mine = resident(0, 1, 100);
        let first = with_writer(record(&[]), &mine).unwrap();
        assert_eq!(with_writer(first.clone(), &mine).unwrap(), first);
        // Another server made a directory of the same point, and takes nobody's span for its own.
        assert!(with_writer(first, &resident(0, 1, 100)).is_err());
    }

    #[test]
    fn a_directory_of_an_earlier_program_knows_its_span() {
        let mut earlier = resident(0, 1, 100);
        earlier.mark = None;
        let first = with_writer(record(&[]), &earlier).unwrap();
        assert_eq!(with_writer(first.clone(), &earlier).unwrap(), first);
    }

    #[test]
    fn who_was_overtaken_is_refused() {
        let first = with_writer(record(&[]), &resident(0, 1, 100)).unwrap();
        let second = with_writer(first, &resident(1, 2, 500)).unwrap();
        assert!(with_writer(second, &resident(0, 1, 400)).is_err());
    }

    #[test]
    fn a_writer_that_would_cut_off_a_snapshot_is_refused() {
        let mut first = with_writer(record(&[]), &resident(0, 1, 100)).unwrap();
        first.snapshots.push(snapshot(1, 600));
        // Made of what ended at 500, while the first went on.
        let refused = with_writer(first.clone(), &resident(1, 2, 500)).unwrap_err();
        assert_eq!(refused, Refused::WentOn(Lsn(600)));
        let mut second = with_writer(first, &resident(1, 2, 600)).unwrap();
        // One that an earlier version left there stands in nobody's way.
        second.snapshots.push(snapshot(1, 900));
        assert!(with_writer(second.clone(), &resident(2, 3, 800)).is_ok());
        // Nor does one whose writer's own end is before it.
        second.snapshots.push(snapshot(2, 701));
        second.spans[1].to = Some(Lsn(700));
        assert!(with_writer(second, &resident(2, 3, 700)).is_ok());
    }

    #[test]
    fn what_was_refused_is_made_again() {
        let mut refused = resident(1, 2, 500);
        assert!(refused.is_whole());
        refused.forsake();
        assert!(!refused.is_whole());
    }

    /// A node, the home of a directory that nothing was let into yet, and its branch in the store.
    async fn unpublished(dir: &std::path::Path) -> (Node, EndpointId) {
        let identity = Identities::Own(Identity { uid: 1, gid: 1 });
        let directories = Directories::open(dir, Installations::default(), identity).unwrap();
        let (node, endpoint) = (Node::in_memory(dir, directories), EndpointId::generate());
        let record = record(&[]);
        let register = node.inner.registers.branch(&record.project, &record.branch);
        register.create_first(record).await.unwrap();
        let home = node.home(&endpoint);
        std::fs::create_dir_all(home.data()).unwrap();
        resident(0, 1, 100).note(&home.path).unwrap();
        (node, endpoint)
    }

    #[tokio::test]
    async fn a_writer_that_the_disk_does_not_know_is_published_once_more() {
        let dir = tempfile::tempdir().unwrap();
        let (node, endpoint) = unpublished(dir.path()).await;
        let home = node.home(&endpoint);
        // The node's own note cannot be written when the register knows the writer already.
        let in_the_way = home.path.join(".resident.json");
        std::fs::create_dir(&in_the_way).unwrap();
        node.publish(&endpoint).await.unwrap_err();
        node.publish(&endpoint).await.unwrap_err();
        assert!(home.held().await.unwrap().writer().is_none(), "nobody is let in");
        std::fs::remove_dir(&in_the_way).unwrap();
        node.publish(&endpoint).await.unwrap();
        assert_eq!(
            Resident::read(&home.path).unwrap().unwrap().epoch,
            Some(Epoch(1)),
            "also after the power is lost"
        );
    }

    #[tokio::test]
    async fn what_the_disk_refused_is_not_published_by_the_next_server() {
        let dir = tempfile::tempdir().unwrap();
        let (node, endpoint) = unpublished(dir.path()).await;
        let home = node.home(&endpoint);
        let mut refused = resident(0, 1, 100);
        refused.forsake();
        refused.note(&home.path).unwrap();
        node.publish(&endpoint).await.unwrap_err();
        assert!(home.held().await.unwrap().writer().is_none());
    }

    fn snapshot(epoch: u32, lsn: u64) -> SnapshotRecord {
        let (project, branch) = ("p".parse().unwrap(), "br-a".parse().unwrap());
        SnapshotRecord {
            kind: SnapshotKind::Clean,
            lsn: Lsn(lsn),
            redo: Lsn(lsn),
            timeline: Timeline(epoch),
            epoch: Epoch(epoch),
            manifest: key::manifest(&project, &branch, Lsn(lsn), Epoch(epoch)),
            boot: key::boot(&project, &branch, Lsn(lsn), Epoch(epoch)),
            taken_at: Timestamp::UNIX_EPOCH,
            logical_bytes: 0,
            added_bytes: 0,
        }
    }
}
