//! ErrorResponse: a command failed, or the connection ends.
//!
//! Our own errors to clients are [`crate::ClientError`]s, which turn into this. This type is for reading
//! PostgreSQL's errors and for passing them on with every field.

use super::Fields;

/// An error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorResponse {
    /// What it says.
    pub fields: Fields,
}

super::fields::fields_message!(ErrorResponse, crate::tag::backend::ERROR_RESPONSE);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Severity;
    use crate::{Encode, SqlState};
    use proptest::prelude::*;

    #[test]
    fn all_fields_survive_a_round_trip() {
        let error = ErrorResponse::new(Severity::Error, SqlState::INSUFFICIENT_PRIVILEGE, "no")
            .detail("d")
            .hint("h")
            .field(b'P', "7")
            .field(b'W', "in a function")
            .field(b't', "accounts")
            .field(b'R', "aclcheck_error")
            .field(b'~', "from a newer server");
        let bytes = error.encode();
        let decoded = ErrorResponse::decode(&bytes[5..]).unwrap();
        assert_eq!(decoded, error);
        let fields = &decoded.fields;
        assert_eq!((fields.severity(), fields.code(), fields.message()), ("ERROR", "42501", "no"));
        assert_eq!((fields.detail(), fields.hint(), fields.position()), (Some("d"), Some("h"), Some("7")));
        assert_eq!((fields.context(), fields.table()), (Some("in a function"), Some("accounts")));
        assert_eq!(
            (fields.routine(), fields.get(b'~')),
            (Some("aclcheck_error"), Some("from a newer server"))
        );
        assert!(!fields.is_fatal());
    }

    #[test]
    fn translated_severity_does_not_hide_fatal() {
        let decoded = ErrorResponse::decode(b"SFATALE\0VFATAL\0C57P03\0Mx\0\0").unwrap();
        assert!(decoded.fields.is_fatal());
        assert!(ErrorResponse::decode(b"SPANIC\0\0").unwrap().fields.is_fatal());
        assert_eq!(ErrorResponse::decode(b"\0").unwrap().fields.message(), "");
    }

    #[test]
    fn zero_bytes_cannot_add_fields() {
        let error = ErrorResponse::new(Severity::Error, SqlState::INTERNAL_ERROR, "a\0Cxxxxx").field(0, "x");
        let decoded = ErrorResponse::decode(&error.encode()[5..]).unwrap();
        assert_eq!((decoded.fields.code(), decoded.fields.message()), ("XX000", "aCxxxxx"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = ErrorResponse::decode(&body);
        }
    }
}
