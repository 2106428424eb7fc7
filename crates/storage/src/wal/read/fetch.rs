//! Reads parts in order, several at a time, and proves them.

use std::sync::Arc;

use dormouse_runtime::task::blocking;
use futures_util::{Stream, StreamExt, TryStreamExt};

use super::plan::{Origin, Part};
use super::{AtHand, Hands, ReadError};
use crate::key::Key;
use crate::object::Store;
use crate::wal::piece::{self, PieceHeader};

/// Pieces that are read at the same time; each costs at most twice 16 MiB of memory.
const PARALLEL: usize = 4;

/// Reads one piece.
pub(super) async fn piece(store: &Store, key: &Key) -> Result<(PieceHeader, Vec<u8>), ReadError> {
    let object = store.get(key).await.map_err(ReadError::Store)?;
    let decoded = blocking(move || piece::decode(&object)).await;
    let (header, plain) = decoded.map_err(|source| ReadError::Piece { key: key.clone(), source })?;
    // An object under a wrong name would put its bytes into a wrong place.
    if crate::key::PieceName::parse(key) != Some(header.name()) {
        let source = piece::PieceError::Shape("its name says something else");
        return Err(ReadError::Piece { key: key.clone(), source });
    }
    Ok((header, plain))
}

/// Reads everything that a supplier has of a range.
pub(super) async fn at_hand(
    hand: &Arc<dyn AtHand>,
    from: dormouse_base::Lsn,
    to: dormouse_base::Lsn,
) -> Result<Vec<u8>, ReadError> {
    let (name, hand) = (hand.name(), Arc::clone(hand));
    let read = blocking(move || {
        let wanted = usize::try_from(to.since(from)).unwrap_or(usize::MAX);
        let mut all = Vec::new();
        while all.len() < wanted {
            let got = hand.read(from.plus(all.len() as u64), wanted - all.len())?;
            if got.is_empty() || got.len() > wanted - all.len() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            all.extend(got);
        }
        Ok(all)
    });
    read.await.map_err(|source| ReadError::Hand { name, from, to, source })
}

async fn part(store: &Store, part: Part, hands: &Hands) -> Result<(Part, Vec<u8>), ReadError> {
    let bytes = match &part.origin {
        Origin::AtHand(hand) => at_hand(&hands[*hand], part.from, part.to).await?,
        Origin::Piece { key, name } => {
            let (_, mut plain) = piece(store, key).await?;
            let place =
                |lsn: dormouse_base::Lsn| usize::try_from(lsn.since(name.start)).expect("a piece is small");
            plain.truncate(place(part.to));
            plain.drain(..place(part.from));
            plain
        }
    };
    Ok((part, bytes))
}

/// Reads all parts, in order.
pub(super) fn parts<'a>(
    store: &'a Store,
    parts: Vec<Part>,
    hands: &'a Hands,
) -> impl Stream<Item = Result<(Part, Vec<u8>), ReadError>> + Send + 'a {
    // What is at hand can be large (all that a compute has not filed): in steps of a piece.
    let steps = parts.into_iter().flat_map(|part| steps(&part));
    futures_util::stream::iter(steps).map(move |p| part(store, p, hands)).buffered(PARALLEL).into_stream()
}

fn steps(part: &Part) -> Vec<Part> {
    let mut out = Vec::new();
    let mut from = part.from;
    while from < part.to {
        let to = part.to.min(from.plus(piece::MAX_PIECE));
        out.push(Part { from, to, ..part.clone() });
        from = to;
    }
    out
}
