//! How one pool asks whether others leave room for a backend. Most pools have no shared cap, and pay nothing.

use dormouse_base::clock::Mono;

/// What several pools share.
pub trait Gate {
    /// Whether one more backend may be opened; then it is counted. When not, and `since` says from when on
    /// a client of this pool has waited, the pool stands in line with the others.
    fn acquire(&mut self, since: Option<Mono>) -> bool;

    /// One more backend is counted whatever the others have: for who had one and comes back.
    fn hold(&mut self);

    /// A backend is gone, or could not be opened.
    fn release(&mut self);

    /// The client that waits for longest changed: this one now, or none.
    fn waiting(&mut self, since: Option<Mono>);

    /// Whether a backend that is free now should go to another pool, whose client has waited for longer than
    /// `own`, the longest waiting one of this pool.
    fn must_yield(&mut self, own: Option<Mono>, now: Mono) -> bool;
}

/// No shared cap.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCap;

impl Gate for NoCap {
    fn acquire(&mut self, _since: Option<Mono>) -> bool {
        true
    }

    fn hold(&mut self) {}

    fn release(&mut self) {}

    fn waiting(&mut self, _since: Option<Mono>) {}

    fn must_yield(&mut self, _own: Option<Mono>, _now: Mono) -> bool {
        false
    }
}

/// A pool that may be under a cap.
impl<G: Gate> Gate for Option<G> {
    fn acquire(&mut self, since: Option<Mono>) -> bool {
        self.as_mut().is_none_or(|gate| gate.acquire(since))
    }

    fn hold(&mut self) {
        if let Some(gate) = self {
            gate.hold();
        }
    }

    fn release(&mut self) {
        if let Some(gate) = self {
            gate.release();
        }
    }

    fn waiting(&mut self, since: Option<Mono>) {
        if let Some(gate) = self {
            gate.waiting(since);
        }
    }

    fn must_yield(&mut self, own: Option<Mono>, now: Mono) -> bool {
        self.as_mut().is_some_and(|gate| gate.must_yield(own, now))
    }
}
