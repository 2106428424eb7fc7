//! What a caller should *do* about an error. Few kinds on purpose: two errors that are handled the
//! same way have the same kind, and each crate maps its own errors to one of these.

/// The coarse kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong; the same request fails again. (HTTP 400)
    Invalid,
    /// Who you are is unknown. (HTTP 401)
    Unauthenticated,
    /// You are known and may not. (HTTP 403)
    Forbidden,
    /// It does not exist. (HTTP 404)
    NotFound,
    /// It exists already, or its state does not allow this. (HTTP 409)
    Conflict,
    /// Another operation holds it; try again soon. (HTTP 423)
    Locked,
    /// A limit was reached. (HTTP 429)
    Limit,
    /// Cannot be served now, but may be later. (HTTP 503)
    Unavailable,
    /// A fault of ours. (HTTP 500)
    Internal,
}

impl Kind {
    /// The HTTP status that tells this kind to a client.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Kind::Invalid => 400,
            Kind::Unauthenticated => 401,
            Kind::Forbidden => 403,
            Kind::NotFound => 404,
            Kind::Conflict => 409,
            Kind::Locked => 423,
            Kind::Limit => 429,
            Kind::Unavailable => 503,
            Kind::Internal => 500,
        }
    }
}
