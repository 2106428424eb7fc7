//! What a client asks for over HTTP, as data. Nothing here does I/O.

pub(crate) mod connection_string;
pub(crate) mod headers;
pub(crate) mod messages;
pub(crate) mod parameter;
pub(crate) mod statement;
