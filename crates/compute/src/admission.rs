//! Who may boot now: a storm queues, it does not collapse.
//!
//! Fifty boots at once on two cores all take as long as the slowest; two or four at a time finish in
//! the time that the work needs. So at most `slots` boots run, others wait in order of arrival, but
//! fairly between projects: each free place goes to the project that was served longest ago, so that
//! one project waking fifty endpoints cannot delay another project's single wake by fifty boots.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use dormouse_base::ProjectId;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// More waiting boots than this are refused at once.
pub const MAX_WAITING: usize = 10_000;

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_WAITING} endpoints are waiting to start already")]
pub struct QueueFull;

/// The queue of boots. Cheap to clone; clones are the same queue.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Mutex<Queue>>);

/// Projects in `turn` have somebody waiting; the one at the front is served next.
#[derive(Debug)]
struct Queue {
    free: usize,
    waiting: HashMap<ProjectId, VecDeque<oneshot::Sender<Permit>>>,
    turn: VecDeque<ProjectId>,
    length: usize,
}

/// The right to boot; dropping it lets the next one in.
#[derive(Debug)]
pub struct Permit(Option<Admission>);

impl Admission {
    /// A queue with this many places.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        let queue = Queue { free: slots.max(1), waiting: HashMap::new(), turn: VecDeque::new(), length: 0 };
        Self(Arc::new(Mutex::new(queue)))
    }

    /// Waits for a place. Dropping the future gives up the place in the queue.
    ///
    /// # Errors
    /// When too many are waiting.
    pub async fn enter(&self, project: &ProjectId) -> Result<Permit, QueueFull> {
        let receiver = {
            let mut queue = self.0.lock();
            if queue.free > 0 {
                queue.free -= 1;
                return Ok(Permit(Some(self.clone())));
            }
            if queue.length >= MAX_WAITING {
                return Err(QueueFull);
            }
            let (sender, receiver) = oneshot::channel();
            queue.push(project, sender);
            receiver
        };
        receiver.await.map_err(|_| QueueFull)
    }

    /// How many wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.lock().length
    }

    /// Gives a free place to the next one who still wants it.
    fn hand_on(&self) {
        loop {
            let next = {
                let mut queue = self.0.lock();
                let next = queue.pop();
                if next.is_none() {
                    // Under the same lock: who queues in between would wait for a permit that is free.
                    queue.free += 1;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Permit(Some(self.clone()))) {
                Ok(()) => return,
                // It gave up; its permit must not come back through Drop, which would recurse.
                Err(mut unwanted) => unwanted.0 = None,
            }
        }
    }
}

impl Queue {
    fn push(&mut self, project: &ProjectId, sender: oneshot::Sender<Permit>) {
        let line = self.waiting.entry(project.clone()).or_default();
        if line.is_empty() {
            self.turn.push_back(project.clone());
        }
        line.push_back(sender);
        self.length += 1;
    }

    fn pop(&mut self) -> Option<oneshot::Sender<Permit>> {
        let project = self.turn.pop_front()?;
        let line = self.waiting.get_mut(&project)?;
        let sender = line.pop_front()?;
        self.length -= 1;
        if line.is_empty() {
            self.waiting.remove(&project);
        } else {
            self.turn.push_back(project);
        }
        Some(sender)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(admission) = self.0.take() {
            admission.hand_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn project(n: usize) -> ProjectId {
        format!("p-{n}").parse().unwrap()
    }

    #[tokio::test]
    async fn projects_take_turns() {
        let admission = Admission::new(1);
        let first = admission.enter(&project(0)).await.unwrap();
        let (one, two) = (project(1), project(2));
        let mut a = pin!(admission.enter(&one));
        let mut b = pin!(admission.enter(&one));
        let mut c = pin!(admission.enter(&two));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(a.as_mut().poll(cx).is_pending());
        assert!(b.as_mut().poll(cx).is_pending());
        assert!(c.as_mut().poll(cx).is_pending());
        assert_eq!(admission.waiting(), 3);
        drop(first);
        let Poll::Ready(Ok(permit)) = a.as_mut().poll(cx) else { panic!("first come, first served") };
        drop(permit);
        assert!(b.as_mut().poll(cx).is_pending());
        assert!(c.as_mut().poll(cx).is_ready(), "the other project goes before the second of the same");
    }

    #[tokio::test]
    async fn who_gives_up_does_not_block_the_queue() {
        let admission = Admission::new(1);
        let first = admission.enter(&project(0)).await.unwrap();
        let one = project(1);
        {
            let mut gone = pin!(admission.enter(&one));
            let cx = &mut Context::from_waker(Waker::noop());
            assert!(gone.as_mut().poll(cx).is_pending());
        }
        drop(first);
        let _again = admission.enter(&project(2)).await.unwrap();
        assert_eq!(admission.waiting(), 0);
    }
}
