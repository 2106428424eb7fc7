//! How bad an error or notice is.

/// The severities that we send. PostgreSQL also knows DEBUG, LOG and INFO; read those from
/// [`super::Fields::severity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The command failed; the connection goes on.
    Error,
    /// The connection ends.
    Fatal,
    /// All connections of the server end.
    Panic,
    /// Worth attention.
    Warning,
    /// For information.
    Notice,
}

impl Severity {
    /// The word on the wire. It is never translated, as PostgreSQL's `V` field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Panic => "PANIC",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
        }
    }
}
