//! Operations across crashes and failures.

use std::sync::atomic::{AtomicU32, Ordering};

use dormouse_base::ProjectId;
use tokio::sync::Notify;

use super::*;
use crate::db::settings;
use crate::model::record::Target;
use crate::operation::{Seal, draft};

const PATIENCE: Duration = Duration::from_secs(20);

/// Three steps; each writes down durably that it was done. `stop_at` is where it hangs, like a
/// server that is killed there; `fail_at` fails for good, `stumble` fails that often in step 1.
#[derive(Debug, Default)]
struct Diary {
    db: Option<Db>,
    stop_at: Option<u32>,
    fail_at: Option<u32>,
    fail_undo: bool,
    /// How often undoing step 1 fails with what may pass, and whether that is waited for.
    undo_later: AtomicU32,
    waits: bool,
    stumble: AtomicU32,
    /// Seals its end in the diary; whether that can be done.
    seals: Option<bool>,
    reached: Arc<Notify>,
}

fn one_less(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

impl Diary {
    async fn line(&self, text: String) {
        let db = self.db.clone().unwrap();
        db.write("write the diary", move |db| {
            let so_far = settings::get(db, "diary")?.unwrap_or_default();
            settings::put(db, "diary", &format!("{so_far}{text} "))
        })
        .await
        .unwrap();
    }
}

#[async_trait::async_trait]
impl Work for Diary {
    fn kind(&self) -> &'static str {
        "diary"
    }
    fn steps(&self) -> u32 {
        3
    }
    async fn perform(&self, _operation: &Operation, step: u32) -> Result<(), StepFailure> {
        if self.fail_at == Some(step) {
            return Err(StepFailure::fatal(Kind::Conflict, "no", "not this one"));
        }
        if step == 1 && one_less(&self.stumble) {
            return Err(StepFailure::passing(Kind::Unavailable, "later", "not yet"));
        }
        self.line(format!("do{step}")).await;
        if self.stop_at == Some(step) {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }
    fn seal(&self, _operation: &Operation) -> Option<Seal> {
        let works = self.seals?;
        Some(Box::new(move |db| {
            settings::put(db, "seal", "set")?;
            if works { Ok(()) } else { Err(rusqlite::Error::QueryReturnedNoRows) }
        }))
    }
    fn waits_to_undo(&self) -> bool {
        self.waits
    }
    async fn undo(&self, _operation: &Operation, step: u32) -> Result<(), StepFailure> {
        if self.fail_undo {
            return Err(StepFailure::fatal(Kind::Internal, "mess", "cannot undo"));
        }
        if step == 1 && one_less(&self.undo_later) {
            return Err(StepFailure::passing(Kind::Unavailable, "later", "not yet"));
        }
        self.line(format!("undo{step}")).await;
        Ok(())
    }
}

fn executor(db: &Db, scope: &Scope, diary: Diary) -> Executor {
    let diary = Diary { db: Some(db.clone()), ..diary };
    Executor::new(db.clone(), scope.clone(), vec![Arc::new(diary)], Arc::default())
}

fn add(db: &Db) -> OperationId {
    let target = Target { project_id: ProjectId::generate(), branch_id: None, endpoint_id: None };
    let operation = draft("diary", target, serde_json::json!({}));
    db.write_now("", |db| operations::insert(db, &operation)).unwrap();
    operation.id
}

fn diary(db: &Db) -> String {
    db.read("", |db| settings::get(db, "diary")).unwrap().unwrap_or_default().trim().to_owned()
}

#[tokio::test]
async fn goes_on_after_a_crash_in_any_step() {
    for stop_at in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path()).unwrap();
        let id = add(&db);
        let scope = Scope::new();
        let reached = Arc::new(Notify::new());
        let hangs = Diary { stop_at: Some(stop_at), reached: Arc::clone(&reached), ..Diary::default() };
        let before = executor(&db, &scope, hangs);
        before.start(id.clone());
        reached.notified().await;
        assert!(scope.close(PATIENCE).await);
        drop((before, db));

        let db = Db::open(dir.path()).unwrap();
        let after = executor(&db, &Scope::new(), Diary::default());
        assert_eq!(after.resume().unwrap(), 1);
        assert_eq!(after.resume().unwrap(), 0, "taken care of already");
        let ended = after.finish(&id, PATIENCE).await.unwrap().unwrap();
        assert_eq!((ended.phase, ended.step), (Phase::Done, 3));
        // The step that was interrupted is done once more; no other one is.
        let mut expected: Vec<String> = (0..=stop_at).map(|n| format!("do{n}")).collect();
        expected.extend((stop_at..3).map(|n| format!("do{n}")));
        assert_eq!(diary(&db), expected.join(" "));
    }
}

#[tokio::test]
async fn the_end_and_its_seal_are_one() {
    for (seals, phase, sealed) in [(true, Phase::Done, Some("set")), (false, Phase::Doing, None)] {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path()).unwrap();
        let id = add(&db);
        let executor = executor(&db, &Scope::new(), Diary { seals: Some(seals), ..Diary::default() });
        let ended = executor.finish(&id, PATIENCE).await.unwrap().unwrap();
        assert_eq!(ended.phase, phase);
        assert_eq!(db.read("", |db| settings::get(db, "seal")).unwrap().as_deref(), sealed);
    }
    // One that is undone is not sealed.
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    let id = add(&db);
    let fails = Diary { seals: Some(true), fail_at: Some(1), ..Diary::default() };
    let ended = executor(&db, &Scope::new(), fails).finish(&id, PATIENCE).await.unwrap().unwrap();
    assert_eq!(ended.phase, Phase::Undone);
    assert_eq!(db.read("", |db| settings::get(db, "seal")).unwrap(), None);
}

#[tokio::test]
async fn a_failure_for_good_undoes_what_was_done() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    let id = add(&db);
    let executor = executor(&db, &Scope::new(), Diary { fail_at: Some(2), ..Diary::default() });
    let ended = executor.finish(&id, PATIENCE).await.unwrap().unwrap();
    assert_eq!(ended.phase, Phase::Undone);
    assert_eq!(failure_of(&ended).unwrap().code, "no");
    assert_eq!(failure_of(&ended).unwrap().status, 409);
    assert_eq!(diary(&db), "do0 do1 undo2 undo1 undo0");
    assert_eq!(executor.resume().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_passing_failure_is_tried_again_but_not_for_ever() {
    for (stumble, phase) in [(MAX_TRIES - 1, Phase::Done), (MAX_TRIES, Phase::Undone)] {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path()).unwrap();
        let id = add(&db);
        let executor = executor(&db, &Scope::new(), Diary { stumble: stumble.into(), ..Diary::default() });
        let ended = executor.finish(&id, Duration::from_secs(3600)).await.unwrap().unwrap();
        assert_eq!(ended.phase, phase);
        assert_eq!(ended.error.is_some(), phase == Phase::Undone);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_undone_is_stuck_and_frees_the_project() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    let id = add(&db);
    let diary = Diary { fail_at: Some(1), fail_undo: true, ..Diary::default() };
    let executor = executor(&db, &Scope::new(), diary);
    let ended = executor.finish(&id, Duration::from_secs(3600)).await.unwrap().unwrap();
    assert_eq!(ended.phase, Phase::Stuck);
    assert_eq!(failure_of(&ended).unwrap().code, "no", "the first error is the one that is told");
    assert!(!db.read("", |db| operations::busy(db, &ended.target.project_id)).unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_must_be_undone_waits_for_the_store() {
    for (waits, phase) in [(true, Phase::Undone), (false, Phase::Stuck)] {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path()).unwrap();
        let id = add(&db);
        let undo_later = (MAX_TRIES * 4).into();
        let diary = Diary { fail_at: Some(1), undo_later, waits, ..Diary::default() };
        let executor = executor(&db, &Scope::new(), diary);
        let ended = executor.finish(&id, Duration::from_secs(24 * 3600)).await.unwrap().unwrap();
        assert_eq!((ended.phase, failure_of(&ended).unwrap().code.as_str()), (phase, "no"));
    }
    // Of no use where it is our own fault.
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    let id = add(&db);
    let diary = Diary { fail_at: Some(1), fail_undo: true, waits: true, ..Diary::default() };
    let executor = executor(&db, &Scope::new(), diary);
    let ended = executor.finish(&id, Duration::from_secs(24 * 3600)).await.unwrap().unwrap();
    assert_eq!(ended.phase, Phase::Stuck);
}
