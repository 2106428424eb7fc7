//! The object store: a directory, S3, GCS or Azure, behind one small handle.

mod store;

pub use store::{Created, Listed, Store, StoreError};
