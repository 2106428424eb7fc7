//! Begins again with nothing but a store: the metadata of a new data directory is made from what is in it.
//!
//! Nothing is started, and nothing is written to the store. The lock of the data directory keeps a server
//! from being there at the same time. That no other server still works on the *store* only its owner can know;
//! one that does is shut out, branch by branch, when the new one takes them over.

use std::path::Path;

use dormouse_control::recover::RecoverError;
pub use dormouse_control::recover::{Problem, Recovered, RecoveredBranch, RecoveredProject};
use dormouse_runtime::task;
use dormouse_storage::Store;
use dormouse_storage::fsck::{self, FsckError};
use dormouse_storage::object::{OpenError, StoreOptions};

use crate::place::{Place, PlaceError};

/// Why nothing was recovered.
#[derive(Debug, thiserror::Error)]
pub enum NotRecovered {
    /// The data directory.
    #[error(transparent)]
    Place(PlaceError),
    /// The object store.
    #[error("the object store cannot be used")]
    Store(#[source] OpenError),
    /// What is in it.
    #[error("cannot find out what is in the object store")]
    Inventory(#[source] FsckError),
    /// The metadata.
    #[error("the metadata cannot be made")]
    Metadata(#[source] RecoverError),
}

/// Makes the metadata of a data directory from a store.
///
/// # Errors
/// When a server runs on the directory, metadata is there already, or the store cannot be read.
pub async fn recover(data: &Path, url: &str) -> Result<Recovered, NotRecovered> {
    let place = Place::take(data).map_err(NotRecovered::Place)?;
    let place_taken = place.data.join(dormouse_control::db::FILE);
    if place_taken.exists() {
        return Err(NotRecovered::Metadata(RecoverError::NotEmpty(place_taken)));
    }
    let options = StoreOptions::from_environment().map_err(NotRecovered::Store)?;
    let options = StoreOptions { read_only: true, ..options };
    let store = Store::open(url, options).await.map_err(NotRecovered::Store)?;
    let inventory = fsck::inventory(&store).await.map_err(NotRecovered::Inventory)?;
    let (data, id) = (place.data.clone(), store.id().map(str::to_owned));
    let made =
        task::blocking(move || dormouse_control::recover::recover(&data, id.as_deref(), &inventory)).await;
    made.map_err(NotRecovered::Metadata)
}
