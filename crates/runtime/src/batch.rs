//! Threads that let who woke them finish first (`SCHED_BATCH`).
//!
//! A relay's thread is woken by every message, and by default Linux lets what is woken interrupt what runs: the
//! client or the backend that has just written, and was about to sleep by itself. That costs two context switches for
//! a message, and the relay finds one message where it could have found several. A thread of the batch policy has the
//! same share of the processor and is not held back by anything but that: it begins when a processor is free, or at
//! the next tick of the one it waits for.
//!
//! The price is there when more threads compute than there are processors: see
//! [the decision](../../../docs/decisions/2026-11-27-shards-are-batch-threads.md).

#![allow(unsafe_code, reason = "two system calls that no safe crate of ours offers")]

/// Makes the calling thread one that does not interrupt others when it is woken.
///
/// What somebody chose for the process (`chrt`, systemd's `CPUSchedulingPolicy`) stays. Threads and processes that the
/// caller starts inherit it. Needs no privilege; where it is refused nothing changes.
pub fn enter() {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: plain system calls on the calling thread; the parameter outlives them.
    unsafe {
        if libc::sched_getscheduler(0) == libc::SCHED_OTHER {
            libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> libc::c_int {
        // SAFETY: a plain system call on the calling thread.
        unsafe { libc::sched_getscheduler(0) }
    }

    #[test]
    fn a_thread_enters_and_others_stay_as_they_are() {
        let before = policy();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let thread = crate::task::thread("batch", move || {
            enter();
            tell.send(policy()).unwrap();
        });
        let inside = told.recv().unwrap();
        thread.join().unwrap();
        assert_eq!(inside, if before == libc::SCHED_OTHER { libc::SCHED_BATCH } else { before });
        assert_eq!(policy(), before);
    }
}
