//! What roles must prove, asked once for all who want to know it in the same moment.
//!
//! Whoever comes while a question is under way may not use its answer, which can be older than the request; but all those
//! share the next question. Whoever answers may do so from memory for a few milliseconds.
//!
//! ```text
//!  request   a        b c d       e
//!  question  ├─ a ─┤  ├─ b c d ─┤ ├─ e …
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dormouse_base::EndpointId;
use dormouse_pgwire::ClientError;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::wake::{StoredRole, Wake};

/// Roles whose entries are kept although nobody asks for them.
const KEPT: usize = 1_000;

/// What a question brought.
type Answer = Result<Option<StoredRole>, ClientError>;

/// Questions under way, by endpoint and role.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    asked: Mutex<HashMap<(EndpointId, String), Arc<Subject>>>,
}

/// One role.
#[derive(Debug, Default)]
struct Subject {
    /// One question at a time.
    turn: tokio::sync::Mutex<()>,
    /// The question that has not been asked yet, or that is under way.
    next: Mutex<Arc<Question>>,
}

#[derive(Debug, Default)]
struct Question {
    asked: AtomicBool,
    answer: OnceCell<Answer>,
}

impl Lookups {
    /// What a role must prove, as [`Wake::stored_password`] tells at some moment between this call and its return.
    pub(crate) async fn stored(&self, wake: &dyn Wake, endpoint: &EndpointId, role: &str) -> Answer {
        if let Some(known) = wake.remembered_password(endpoint, role) {
            return Ok(Some(known));
        }
        let subject = self.subject(endpoint, role);
        let question = {
            let mut next = subject.next.lock();
            if next.asked.load(Ordering::Acquire) {
                *next = Arc::default();
            }
            Arc::clone(&next)
        };
        let ask = async {
            let _turn = subject.turn.lock().await;
            question.asked.store(true, Ordering::Release);
            wake.stored_password(endpoint, role).await
        };
        question.answer.get_or_init(|| ask).await.clone()
    }

    fn subject(&self, endpoint: &EndpointId, role: &str) -> Arc<Subject> {
        let mut asked = self.asked.lock();
        if asked.len() > KEPT {
            asked.retain(|_, subject| Arc::strong_count(subject) > 1);
        }
        Arc::clone(asked.entry((endpoint.clone(), role.to_owned())).or_default())
    }
}

#[cfg(test)]
mod tests;
