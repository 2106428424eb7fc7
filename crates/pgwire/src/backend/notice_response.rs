//! NoticeResponse: something to show to a person; it changes nothing. Fields as in an error.

use super::Fields;

/// A notice or warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeResponse {
    /// What it says.
    pub fields: Fields,
}

super::fields::fields_message!(NoticeResponse, crate::tag::backend::NOTICE_RESPONSE);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Severity;
    use crate::{Encode, SqlState};

    #[test]
    fn round_trip() {
        let notice =
            NoticeResponse::new(Severity::Warning, SqlState::CANNOT_CONNECT_NOW, "waking up").hint("wait");
        let bytes = notice.encode();
        assert_eq!(bytes[0], b'N');
        assert_eq!(NoticeResponse::decode(&bytes[5..]), Ok(notice));
    }
}
