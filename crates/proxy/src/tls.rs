//! The proxy's certificate and TLS settings.
//!
//! A self-signed certificate is made at first start, so that `sslmode=require` and channel binding
//! work from the first minute; put your own `server.crt` and `server.key` in its place. ECDSA P-256,
//! because signing with it is several times cheaper than with RSA and every handshake signs once.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dormouse_pgwire::auth::scram::ChannelBinding;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// The protocol name that a client must offer when it starts TLS without asking first.
pub const ALPN: &[u8] = b"postgresql";

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The files do not hold a certificate and its key.
    #[error("{} is not a usable certificate or key: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No certificate could be made.
    #[error("cannot make a certificate: {0}")]
    Make(String),
}

/// TLS as the sessions need it.
#[derive(Clone)]
pub struct Tls {
    /// Accepts handshakes.
    pub acceptor: TlsAcceptor,
    /// What SCRAM-SHA-256-PLUS binds to; `None` when the certificate's signature has no defined hash.
    pub binding: Option<ChannelBinding>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Loads `server.crt` and `server.key` from `dir`, or makes them for `domain` and the loopback names.
    ///
    /// # Errors
    /// When files cannot be read, written or used.
    pub fn load_or_make(dir: &Path, domain: &str) -> Result<Self, TlsError> {
        let (certificate, key) = (dir.join("server.crt"), dir.join("server.key"));
        if !certificate.exists() || !key.exists() {
            make(&certificate, &key, domain)?;
        }
        Self::load(&certificate, &key)
    }

    fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let unusable = |path: &Path, reason: String| TlsError::Unusable { path: path.to_owned(), reason };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| unusable(certificate, e.to_string()))?;
        let first = chain.first().ok_or_else(|| unusable(certificate, "it is empty".to_owned()))?;
        let binding = ChannelBinding::from_certificate(first);
        let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unusable(key, e.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
            .map_err(|e| unusable(certificate, e.to_string()))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Tickets let a returning client skip the signature; serverless clients return all the time.
        if let Ok(ticketer) = rustls::crypto::ring::Ticketer::new() {
            config.ticketer = ticketer;
        }
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), binding })
    }
}

fn make(certificate: &Path, key: &Path, domain: &str) -> Result<(), TlsError> {
    let mut names: Vec<String> = ["localhost", "*.localhost", "127.0.0.1", "::1"].map(String::from).into();
    if domain != "localhost" {
        names.extend([domain.to_owned(), format!("*.{domain}")]);
    }
    let made = rcgen::generate_simple_self_signed(names).map_err(|e| TlsError::Make(e.to_string()))?;
    write(key, 0o600, &made.signing_key.serialize_pem())?;
    write(certificate, 0o644, &made.cert.pem())
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), TlsError> {
    let failed = |source| TlsError::File { path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(failed)?;
    }
    // A crash in between must not leave a half-written key that every later start stumbles over.
    let partial = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(mode).open(&partial).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&partial, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_and_found_again() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let first = Tls::load_or_make(dir.path(), "db.example").unwrap();
        assert!(first.binding.is_some(), "channel binding works with it");
        let before = fs::read(dir.path().join("server.crt")).unwrap();
        Tls::load_or_make(dir.path(), "db.example").unwrap();
        assert_eq!(before, fs::read(dir.path().join("server.crt")).unwrap());
        assert_eq!(fs::metadata(dir.path().join("server.key")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_broken_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["server.crt", "server.key"] {
            fs::write(dir.path().join(file), "not pem").unwrap();
        }
        assert!(Tls::load_or_make(dir.path(), "x").unwrap_err().to_string().contains("server.crt"));
    }
}
