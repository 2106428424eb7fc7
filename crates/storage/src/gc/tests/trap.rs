//! Failpoints of one thread, so that tests that run at the same time do not step on each other's.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use super::super::GcError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Fail,
    Wait,
}

thread_local! {
    static TRAP: RefCell<Option<(String, u32, Action)>> = const { RefCell::new(None) };
}

/// At the `n`-th visit, from 1, of this step.
pub(crate) fn set(step: &str, n: u32, action: Action) {
    TRAP.with(|trap| *trap.borrow_mut() = Some((step.to_owned(), n, action)));
}

/// Whether it is still there.
pub(crate) fn clear() -> bool {
    TRAP.with(|trap| trap.borrow_mut().take().is_some())
}

fn due(step: &str) -> Option<Action> {
    TRAP.with(|trap| {
        let mut trap = trap.borrow_mut();
        let (_, left, action) = trap.as_mut().filter(|(name, _, _)| name == step)?;
        *left -= 1;
        let due = (*left == 0).then_some(*action);
        if due.is_some() {
            *trap = None;
        }
        due
    })
}

pub(crate) async fn step_on(step: &str) -> Result<(), GcError> {
    match due(step) {
        None => Ok(()),
        Some(Action::Fail) => Err(GcError::Interrupted(Arc::new(std::io::Error::other("a trap")))),
        Some(Action::Wait) => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(())
        }
    }
}
