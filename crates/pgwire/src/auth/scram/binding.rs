//! Channel binding of the type `tls-server-end-point` (RFC 5929): the hash of the server's certificate. Both
//! sides put it into what the proof covers, so a proof made for another server's certificate is worth nothing here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::certificate;

/// The only type that PostgreSQL has.
pub(super) const TYPE: &str = "tls-server-end-point";

/// The hash of the certificate that the server showed on this TLS connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelBinding {
    hash: Vec<u8>,
}

impl ChannelBinding {
    /// From the hash itself. It must be made with the hash function of the certificate's signature, except that
    /// SHA-256 stands for MD5 and SHA-1.
    #[must_use]
    pub fn tls_server_end_point(hash: Vec<u8>) -> Self {
        Self { hash }
    }

    /// From a certificate in DER. `None` when its signature has no hash function of its own (Ed25519) or one that
    /// is not known here: then offer no channel binding, as no client could compute it either.
    #[must_use]
    pub fn from_certificate(der: &[u8]) -> Option<Self> {
        certificate::end_point_hash(der).map(Self::tls_server_end_point)
    }

    /// The value of `c=` in the client's last message.
    pub(super) fn encoded(&self) -> String {
        let header = format!("p={TYPE},,");
        STANDARD.encode([header.as_bytes(), &self.hash].concat())
    }
}
