//! What PostgreSQL says while a connection is opened, by tag.
//!
//! ```text
//!  R(0) ─► [v] ─► S S S … ─► K ─► Z        E at any point ends it; N at any point is to be passed on
//! ```

use crate::cursor::Malformed;
use crate::tag::backend;

use super::{
    Authentication, BackendKeyData, ErrorResponse, NegotiateProtocolVersion, NoticeResponse, ParameterStatus,
    ReadyForQuery, TxStatus,
};

/// A reply during the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handshake {
    /// Authenticated.
    AuthOk,
    /// Wants a proof. Over a trusted socket this means that the server is set up wrongly.
    AuthRequest(Authentication),
    /// Speaks less than it was asked to.
    Negotiate(NegotiateProtocolVersion),
    /// A setting.
    ParameterStatus(ParameterStatus),
    /// The cancel key.
    KeyData(BackendKeyData),
    /// The handshake is over.
    Ready(TxStatus),
    /// The handshake has failed.
    Error(ErrorResponse),
    /// To be shown to the user.
    Notice(NoticeResponse),
    /// A message that does not belong here.
    Other {
        /// Its tag.
        tag: u8,
    },
}

impl Handshake {
    /// Reads a message, given its tag and body.
    ///
    /// # Errors
    /// When the body does not have the shape that its tag promises.
    pub fn decode(tag: u8, body: &[u8]) -> Result<Self, Malformed> {
        Ok(match tag {
            backend::AUTHENTICATION => match Authentication::decode(body)? {
                Authentication::Ok => Self::AuthOk,
                other => Self::AuthRequest(other),
            },
            backend::NEGOTIATE_PROTOCOL_VERSION => Self::Negotiate(NegotiateProtocolVersion::decode(body)?),
            backend::PARAMETER_STATUS => Self::ParameterStatus(ParameterStatus::decode(body)?),
            backend::BACKEND_KEY_DATA => Self::KeyData(BackendKeyData::decode(body)?),
            backend::READY_FOR_QUERY => Self::Ready(ReadyForQuery::decode(body)?.0),
            backend::ERROR_RESPONSE => Self::Error(ErrorResponse::decode(body)?),
            backend::NOTICE_RESPONSE => Self::Notice(NoticeResponse::decode(body)?),
            tag => Self::Other { tag },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{AuthenticationCleartextPassword, AuthenticationOk, Severity};
    use crate::{Encode, SqlState};
    use proptest::prelude::*;

    #[test]
    fn reads_a_whole_handshake() {
        let error = ErrorResponse::new(Severity::Fatal, SqlState::CANNOT_CONNECT_NOW, "starting");
        let notice = NoticeResponse::new(Severity::Notice, SqlState::CONNECTION_EXCEPTION, "n");
        let version = NegotiateProtocolVersion { newest_minor: 0, unknown_options: vec![] };
        for (bytes, expected) in [
            (AuthenticationOk.encode(), Handshake::AuthOk),
            (
                AuthenticationCleartextPassword.encode(),
                Handshake::AuthRequest(Authentication::CleartextPassword),
            ),
            (version.encode(), Handshake::Negotiate(version)),
            (
                ParameterStatus::new("a", "b").encode(),
                Handshake::ParameterStatus(ParameterStatus::new("a", "b")),
            ),
            (
                BackendKeyData::new(1, vec![1; 4]).encode(),
                Handshake::KeyData(BackendKeyData::new(1, vec![1; 4])),
            ),
            (ReadyForQuery(TxStatus::Idle).encode(), Handshake::Ready(TxStatus::Idle)),
            (error.encode(), Handshake::Error(error)),
            (notice.encode(), Handshake::Notice(notice)),
            (b"D\0\0\0\x04".to_vec(), Handshake::Other { tag: b'D' }),
        ] {
            assert_eq!(Handshake::decode(bytes[0], &bytes[5..]), Ok(expected));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(tag in proptest::sample::select(&b"RvSKZEND"[..]), body in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Handshake::decode(tag, &body);
        }
    }
}
