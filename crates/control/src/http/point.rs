//! Points in history, as requests name them, and what a fork there would have.

use dormouse_base::{Kind, Lsn, Timestamp};

use super::error::Error;
use super::find::Place;
use crate::control::Control;
use crate::db::{endpoints, roles};
use crate::descent::Trust;
use crate::model::record::Role;
use crate::vault::{Fork, Point};

/// A position or a time, or neither, which is now.
pub(super) fn point(lsn: Option<Lsn>, at: Option<Timestamp>) -> Result<Point, Error> {
    match (lsn, at) {
        (None, None) => Ok(Point::Head),
        (Some(lsn), None) => Ok(Point::Lsn(lsn)),
        (None, Some(at)) => Ok(Point::Time(at)),
        (Some(_), Some(_)) => {
            let message = "the request names a position and a time: name one of them";
            Err(Error::new(Kind::Invalid, "bad-point", message))
        }
    }
}

impl Control {
    /// Finds a point of a branch's history.
    pub(super) async fn resolve(&self, place: &Place, point: Point) -> Result<Fork, Error> {
        let writer = place.writer.as_ref().map(|endpoint| &endpoint.id);
        Ok(self.vault.resolve(&place.project.id, &place.branch.storage_id, writer, point).await?)
    }

    /// Finds a point of a branch's history, and tells how far the roles in the metadata are those of that
    /// point. For "now" they are read before and after: when a client changed one in between, nobody knows
    /// which of them the fork has, and they are written again.
    pub(super) async fn fork(&self, place: &Place, point: Point) -> Result<(Fork, Trust), Error> {
        self.refresh(place).await?;
        let before = self.known_roles(place)?;
        let fork = self.resolve(place, point).await?;
        if point != Point::Head {
            return Ok((fork, Trust::Wish));
        }
        self.refresh(place).await?;
        let same = before == self.known_roles(place)? && self.is_known(place)?;
        Ok((fork, if same { Trust::Exact } else { Trust::Wish }))
    }

    fn known_roles(&self, place: &Place) -> Result<Vec<Role>, Error> {
        Ok(self.foundation.db.read("list roles", |db| roles::all(db, &place.branch.id))?)
    }

    /// Whether the metadata knows a branch's roles: its writer answers, or went to sleep in order.
    pub(super) fn is_known(&self, place: &Place) -> Result<bool, Error> {
        let Some(writer) = &place.writer else { return Ok(true) };
        if self.computes.state(&writer.id) == dormouse_compute::State::Active {
            return Ok(true);
        }
        let row = self.foundation.db.read("read an endpoint", |db| endpoints::get(db, &writer.id))?;
        Ok(row.is_none_or(|row| self.foundation.keeper.is_exact(&row)))
    }
}
