//! Which pieces make a range of a line, and whether there is a hole.

use dormouse_base::{Lsn, Timeline};

use super::{Hands, Line, ReadError, Stretch};
use crate::key::{self, Key, PieceName};
use crate::object::Store;
use crate::wal::piece::MAX_PIECE;

/// Where the bytes of a part are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a piece.
    Piece {
        /// Its key.
        key: Key,
        /// What its name says.
        name: PieceName,
    },
    /// With a supplier, by its number.
    AtHand(usize),
}

/// A part of a range, from one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its first byte.
    pub from: Lsn,
    /// Behind its last byte.
    pub to: Lsn,
    /// The timeline it was written on.
    pub timeline: Timeline,
    /// Where it is.
    pub origin: Origin,
}

/// The pieces of a stretch that may hold something of `from`..`to`, by start.
pub(super) async fn pieces(
    store: &Store,
    line: &Line,
    stretch: &Stretch,
    (from, to): (Lsn, Lsn),
) -> Result<Vec<(Key, PieceName)>, ReadError> {
    let wal = key::wal(&line.project, &stretch.branch, stretch.epoch);
    // A piece that holds `from` begins at most one piece's length before it.
    let first = Lsn(from.0.saturating_sub(MAX_PIECE));
    let after = PieceName { start: first, end: first, last_commit: 0 }.key(&wal);
    let listed = store.list(&wal, Some(&after)).await.map_err(ReadError::Store)?;
    let named = listed.into_iter().filter_map(|listed| {
        let name = PieceName::parse(&listed.key)?;
        (name.start < to && name.end > from).then_some((listed.key, name))
    });
    Ok(named.collect())
}

/// Finds the parts that make `from`..`to`, without a hole.
///
/// # Errors
/// When the store cannot be listed, or something is missing.
pub async fn plan(
    store: &Store,
    line: &Line,
    (from, to): (Lsn, Lsn),
    hands: &Hands,
) -> Result<Vec<Part>, ReadError> {
    let mut parts = Vec::new();
    let mut at = from;
    for stretch in &line.stretches {
        let (low, high) = (stretch.from.max(from), stretch.to.min(to));
        if low >= high {
            continue;
        }
        // Before the first stretch there are only suppliers (a snapshot's own WAL).
        cover(&mut parts, &mut at, low, None, &[], hands)?;
        // What is at hand at the beginning may be all; the store is asked only when it is needed.
        if !from_hands_alone(&mut parts, &mut at, high, stretch.timeline, hands) {
            let pieces = pieces(store, line, stretch, (at, high)).await?;
            cover(&mut parts, &mut at, high, Some(stretch.timeline), &pieces, hands)?;
        }
    }
    cover(&mut parts, &mut at, to, None, &[], hands)?;
    Ok(parts)
}

/// Takes what suppliers have; true when that reaches `to`.
fn from_hands_alone(parts: &mut Vec<Part>, at: &mut Lsn, to: Lsn, timeline: Timeline, hands: &Hands) -> bool {
    while *at < to {
        let Some((hand, end)) = hand_at(hands, *at) else { return false };
        let end = end.min(to);
        parts.push(Part { from: *at, to: end, timeline, origin: Origin::AtHand(hand) });
        *at = end;
    }
    true
}

fn hand_at(hands: &Hands, at: Lsn) -> Option<(usize, Lsn)> {
    hands.iter().enumerate().find_map(|(i, hand)| {
        let (low, high) = hand.range();
        (low <= at && at < high).then_some((i, high))
    })
}

/// Extends `parts` from `at` to `to`.
fn cover(
    parts: &mut Vec<Part>,
    at: &mut Lsn,
    to: Lsn,
    timeline: Option<Timeline>,
    pieces: &[(Key, PieceName)],
    hands: &Hands,
) -> Result<(), ReadError> {
    while *at < to {
        let holds = |(_, name): &&(Key, PieceName)| name.start <= *at && *at < name.end;
        let part = if let Some((hand, end)) = hand_at(hands, *at) {
            let timeline = timeline.unwrap_or_else(|| hands[hand].timeline());
            Part { from: *at, to: end.min(to), timeline, origin: Origin::AtHand(hand) }
        } else if let Some((key, name)) = pieces.iter().filter(holds).max_by_key(|(_, name)| name.end)
            && let Some(timeline) = timeline
        {
            let origin = Origin::Piece { key: key.clone(), name: *name };
            Part { from: *at, to: name.end.min(to), timeline, origin }
        } else {
            let next = pieces.iter().map(|(_, name)| name.start);
            let next = next.chain(hands.iter().map(|hand| hand.range().0)).filter(|start| start > at).min();
            return Err(ReadError::Missing { from: *at, to: next.unwrap_or(to).min(to) });
        };
        *at = part.to;
        parts.push(part);
    }
    Ok(())
}
