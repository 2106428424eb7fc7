//! Calls about the object store.

use super::Call;
use crate::routes::{self, Method};
use crate::storage::{CheckStorage, CollectStorage, StorageChecked, StorageCollected, StorageStatus};

/// Where the store is, and how far each endpoint's data is in it.
pub fn status() -> Call<StorageStatus> {
    Call::new(Method::Get, routes::STORAGE, &[])
}

/// Checks that branches can be restored. May take hours.
pub fn check(request: &CheckStorage) -> Call<StorageChecked> {
    Call::new(Method::Post, routes::STORAGE_CHECK, &[]).with_body(request)
}

/// Deletes what nothing needs. May take minutes.
pub fn collect(request: &CollectStorage) -> Call<StorageCollected> {
    Call::new(Method::Post, routes::STORAGE_COLLECT, &[]).with_body(request)
}
