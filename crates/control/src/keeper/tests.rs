//! The keeper without PostgreSQL.

use dormouse_compute::Host;
use dormouse_compute::postgres::discover::Installations;
use dormouse_compute::sandbox::identity::{Identities, Identity};
use dormouse_compute::spec::PauseTimeout;

use super::*;
use crate::db::{branches, projects};
use crate::directory::Directories;
use crate::model::record::Branch;
use crate::plan::Wish;
use crate::secrets::Secrets;

fn keeper(dir: &tempfile::TempDir, preload: &[&str]) -> (Keeper, EndpointId) {
    let db = Db::open(dir.path()).unwrap();
    let identity = Identities::Own(Identity { uid: 1, gid: 1 });
    let directories = Directories::open(dir.path(), Installations::default(), identity).unwrap();
    let mut wish = Wish { database: Some("shop".to_owned()), ..Wish::default() };
    wish.settings.preload_libraries = preload.iter().map(|l| (*l).to_owned()).collect();
    let secrets = Secrets::open(dir.path()).unwrap();
    let mut plan = wish.plan(&Installations::discover(&[]), &secrets, clock::now()).unwrap();
    db.write_now("", |db| {
        plan.store(db)?;
        branches::mark_ready(db, &plan.branch.id, clock::now())
    })
    .unwrap();
    let node = Node::in_memory(dir.path(), directories);
    (Keeper::new(db, node, Timeouts::default(), Arc::default(), Arc::default()).unwrap(), plan.endpoint.id)
}

fn row(keeper: &Keeper, id: &EndpointId) -> Endpoint {
    keeper.inner.db.read("", |db| endpoints::get(db, id)).unwrap().unwrap()
}

#[tokio::test]
async fn the_metadata_is_exact_only_while_nobody_can_change_postgresql() {
    let dir = tempfile::tempdir().unwrap();
    let (keeper, id) = keeper(&dir, &[]);
    assert!(keeper.is_exact(&row(&keeper, &id)), "never started");
    keeper.opened(&id).await.unwrap();
    assert!(!keeper.is_exact(&row(&keeper, &id)));
    // A stop that learned nothing does not count as clean.
    keeper.stopped_cleanly(&id).await.unwrap();
    assert!(row(&keeper, &id).roles_stale);

    keeper.inner.memory.set_exact(&id, true); // what `before_sleep` does at its end
    assert!(keeper.is_exact(&row(&keeper, &id)) && row(&keeper, &id).roles_stale);
    keeper.thawed(&id);
    assert!(!keeper.is_exact(&row(&keeper, &id)));
    keeper.inner.memory.set_exact(&id, true);
    keeper.stopped_cleanly(&id).await.unwrap();
    assert!(!row(&keeper, &id).roles_stale, "durable: the next server may trust it");
}

#[tokio::test]
async fn the_spec_is_read_afresh_and_not_for_a_deleted_project() {
    let dir = tempfile::tempdir().unwrap();
    let (keeper, id) = keeper(&dir, &["pg_cron"]);
    let spec = keeper.spec(&id).await.unwrap();
    assert_eq!(spec.pause_timeout, PauseTimeout::After(crate::model::settings::PAUSE_TIMEOUT));
    assert!(spec.settings.contains(&("cron.database_name".to_owned(), "shop".to_owned())));
    let mut changed = row(&keeper, &id);
    (changed.suspend_timeout_seconds, changed.pause_timeout_seconds) = (-1, Some(0));
    changed.pg_settings.insert("cron.database_name".to_owned(), "other".to_owned());
    keeper.inner.db.write_now("", |db| endpoints::update(db, &changed, clock::now())).unwrap();
    let spec = keeper.spec(&id).await.unwrap();
    assert_eq!((spec.idle_timeout, spec.pause_timeout), (None, PauseTimeout::Skip));
    assert_eq!(spec.settings.iter().filter(|(name, _)| name == "cron.database_name").count(), 1);
    let project = spec.project.clone();
    keeper.inner.db.write_now("", |db| projects::mark_deleting(db, &project, clock::now())).unwrap();
    assert!(keeper.spec(&id).await.is_err());
    assert!(keeper.spec(&EndpointId::generate()).await.is_err());
}

#[tokio::test]
async fn a_full_queue_drops_events_and_counts_them() {
    let dir = tempfile::tempdir().unwrap();
    let (keeper, id) = keeper(&dir, &[]);
    for _ in 0..EVENT_QUEUE + 3 {
        keeper.happened(&id, Happening::Adopted { pid: 1 });
    }
    assert_eq!(keeper.inner.metrics.events_dropped.get(), 3);
}

#[tokio::test]
async fn nothing_starts_on_a_branch_that_is_not_there_or_moves() {
    let dir = tempfile::tempdir().unwrap();
    let (keeper, id) = keeper(&dir, &[]);
    let branch = row(&keeper, &id).branch_id;
    let change = |what: fn(&mut Branch)| {
        let write = keeper.inner.db.write_now("", |db| {
            let mut row = branches::get(db, &branch)?.unwrap();
            (row.ready, row.resetting, row.deleting) = (true, false, false);
            what(&mut row);
            branches::put(db, &row)
        });
        write.unwrap();
    };
    change(|row| row.ready = false);
    assert!(keeper.spec(&id).await.unwrap_err().what.contains("being made"));
    change(|row| row.resetting = true);
    assert!(keeper.spec(&id).await.unwrap_err().what.contains("being restored"));
    change(|row| row.deleting = true);
    assert!(keeper.spec(&id).await.is_err());
    change(|row| row.storage_id = "br-other-line".parse().unwrap());
    let spec = keeper.spec(&id).await.unwrap();
    assert_eq!((spec.branch.as_str(), spec.mode, spec.pinned), ("br-other-line", Mode::ReadWrite, None));
    keeper.inner.db.write_now("", |db| endpoints::set_deleting(db, &id, true)).unwrap();
    assert!(keeper.spec(&id).await.is_err());
}

#[tokio::test]
async fn a_reader_learns_nothing_and_marks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (keeper, id) = keeper(&dir, &[]);
    let writer = row(&keeper, &id);
    let reader = Endpoint {
        id: EndpointId::generate(),
        mode: Mode::ReadOnly,
        pinned_lsn: Some(dormouse_base::Lsn(9)),
        slot: 1,
        ..writer
    };
    keeper.inner.db.write_now("", |db| endpoints::insert(db, &reader)).unwrap();
    let spec = keeper.spec(&reader.id).await.unwrap();
    assert_eq!((spec.mode, spec.pinned), (Mode::ReadOnly, Some(dormouse_base::Lsn(9))));
    keeper.opened(&reader.id).await.unwrap();
    assert!(!row(&keeper, &reader.id).roles_stale);
    let pending = keeper.inner.db.read("", endpoints::with_pending).unwrap();
    assert_eq!(pending, [id], "only a writer has changes applied");
}
