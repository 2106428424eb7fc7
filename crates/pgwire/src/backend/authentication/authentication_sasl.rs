//! AuthenticationSASL: the list of mechanisms, best first, ended by an empty name.

use crate::cursor::{Cursor, Malformed};
use crate::encode::{Encode, text};

/// The client must answer with a [`crate::frontend::SaslInitialResponse`] that names one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticationSasl {
    /// Names, the preferred one first.
    pub mechanisms: Vec<String>,
}

impl AuthenticationSasl {
    /// A list of mechanisms; see [`crate::auth::scram::server::Exchange::mechanisms`].
    #[must_use]
    pub fn new<S: Into<String>>(mechanisms: impl IntoIterator<Item = S>) -> Self {
        Self { mechanisms: mechanisms.into_iter().map(Into::into).collect() }
    }

    pub(super) fn decode_rest(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let mut mechanisms = Vec::new();
        loop {
            match cursor.utf8()? {
                "" => return Ok(Self { mechanisms }),
                name => mechanisms.push(name.to_owned()),
            }
        }
    }
}

impl Encode for AuthenticationSasl {
    fn encode_into(&self, out: &mut Vec<u8>) {
        super::request(out, super::SASL, |body| {
            for name in self.mechanisms.iter().filter(|name| !name.is_empty()) {
                text(body, name);
            }
            body.push(0);
        });
    }
}
