//! What a client gets over HTTP, as bytes. Nothing here does I/O.

pub(crate) mod json;
pub(crate) mod problem;
pub(crate) mod rows;
pub(crate) mod timing;
pub(crate) mod value;
