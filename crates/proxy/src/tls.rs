//! The proxy's certificate and TLS settings.
//!
//! A self-signed certificate is made at first start, so that `sslmode=require` and channel binding
//! work from the first minute; put your own `server.crt` and `server.key` in its place. ECDSA P-256,
//! because signing with it is several times cheaper than with RSA and every handshake signs once.
//!
//! The files are looked at every [`LOOK_EVERY`]. When one of them changed, new connections get what it says
//! now, and open ones stay as they are; what cannot be used is logged and the old one stays in use, so a
//! renewal that writes its files one after the other does no harm. Which certificates of
//! clients are good is in [`client_certs`], what they mean in [`crate::peer`].

mod client_certs;

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dormouse_pgwire::auth::scram::ChannelBinding;
use dormouse_runtime::task;
use parking_lot::{Mutex, RwLock};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

use crate::peer::ClientCerts;
use crate::upstream::old_certs::{self, Always};

/// The protocol name that a client must offer when it starts TLS without asking first.
pub const ALPN: &[u8] = b"postgresql";

/// The protocol's name in TLS, on the HTTP port.
pub const HTTP_ALPN: &[u8] = b"http/1.1";

/// Bytes of text in one TLS record to a client: as many as PostgreSQL puts into one.
///
/// libpq makes room for this many before each read, and a read takes from one record only. What is left of a larger one stays
/// in the client's TLS library, and a client that waits for its socket to become readable waits for ever.
pub const MAX_RECORD: usize = 8192;

/// What rustls counts as part of a record's size beside its text: the header.
const RECORD_HEADER: usize = 5;

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

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

/// What is offered to the other side.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
    /// Whether certificates of the first version are good, too.
    pub(crate) takes_old: bool,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            versions: rustls::DEFAULT_VERSIONS.to_vec(),
            takes_old: false,
        }
    }
}

/// The files that TLS is made of.
#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    clients: Option<ClientCerts>,
    offer: Offer,
}

/// TLS as the files say it at one moment.
pub struct Current {
    /// Accepts handshakes.
    pub acceptor: TlsAcceptor,
    /// Accepts handshakes of HTTP clients, who are not asked for certificates.
    pub http: TlsAcceptor,
    /// What SCRAM-SHA-256-PLUS binds to; `None` when the certificate's signature has no defined hash.
    pub binding: Option<ChannelBinding>,
}

/// TLS as the sessions need it. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    files: Files,
    known: Arc<Mutex<Stamp>>,
    current: Arc<RwLock<Arc<Current>>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Loads `server.crt` and `server.key` from `dir`, or makes them for `domain` and the loopback names.
    ///
    /// # Errors
    /// When files cannot be read, written or used.
    pub fn load_or_make(dir: &Path, domain: &str, clients: Option<ClientCerts>) -> Result<Self, TlsError> {
        let (certificate, key) = (dir.join("server.crt"), dir.join("server.key"));
        if !certificate.exists() || !key.exists() {
            make(&certificate, &key, domain)?;
        }
        Self::load(certificate, key, clients)
    }

    /// Loads these files.
    ///
    /// # Errors
    /// When they cannot be read or used.
    pub fn load(certificate: PathBuf, key: PathBuf, clients: Option<ClientCerts>) -> Result<Self, TlsError> {
        Self::load_with(certificate, key, clients, Offer::default())
    }

    /// The same, with a say in what is offered.
    pub(crate) fn load_with(
        certificate: PathBuf,
        key: PathBuf,
        clients: Option<ClientCerts>,
        offer: Offer,
    ) -> Result<Self, TlsError> {
        let files = Files { certificate, key, clients, offer };
        let known = Arc::new(Mutex::new(files.stamp()));
        let current = Arc::new(RwLock::new(Arc::new(files.load()?)));
        Ok(Self { files, known, current })
    }

    /// What a new connection gets.
    #[must_use]
    pub fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read())
    }

    /// What is asked of clients' certificates.
    #[must_use]
    pub fn clients(&self) -> Option<&ClientCerts> {
        self.files.clients.as_ref()
    }

    /// Looks at the files once, and uses what they say.
    pub(crate) async fn look(&self) {
        let (files, before) = (self.files.clone(), self.known.lock().clone());
        let changed = task::blocking(move || {
            let stamp = files.stamp();
            (stamp != before).then(|| (stamp, files.load()))
        });
        let Some((stamp, loaded)) = changed.await else { return };
        *self.known.lock() = stamp;
        match loaded {
            Ok(new) => {
                *self.current.write() = Arc::new(new);
                tracing::info!("the TLS files changed; new connections use them");
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the TLS files changed and cannot be used; the old ones stay in use");
            }
        }
    }
}

/// What tells that a file changed: inode, length, and time of the last change.
type Stamp = Vec<Option<(u64, u64, i64, i64)>>;

impl Files {
    fn stamp(&self) -> Stamp {
        use std::os::unix::fs::MetadataExt;
        let one =
            |path: &Path| fs::metadata(path).ok().map(|m| (m.ino(), m.len(), m.mtime(), m.mtime_nsec()));
        let ca = self.clients.as_ref().map(|clients| clients.ca.as_path());
        [Some(self.certificate.as_path()), Some(self.key.as_path()), ca]
            .into_iter()
            .flatten()
            .map(one)
            .collect()
    }

    fn load(&self) -> Result<Current, TlsError> {
        let chain = certificates(&self.certificate)?;
        let first = chain.first().ok_or_else(|| unusable(&self.certificate, &"it is empty"))?;
        let binding = ChannelBinding::from_certificate(first);
        let private = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| unusable(&self.key, &e))?;
        let provider = Arc::clone(&self.offer.provider);
        let verifier = self.verifier(&provider)?;
        // Browsers would ask their users for a certificate.
        let mut http = self.build(Arc::new(NoClientAuth), HTTP_ALPN, chain.clone(), private.clone_key())?;
        let mut config = self.build(verifier, ALPN, chain, private)?;
        config.max_fragment_size = Some(MAX_RECORD + RECORD_HEADER);
        if self.clients.is_some() {
            // A resumed session would bring its client's certificate back without a look at its dates or its CA.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else if let Ok(ticketer) = rustls::crypto::ring::Ticketer::new() {
            // Tickets let a returning client skip the signature; serverless clients return all the time.
            config.ticketer = ticketer;
        }
        if let Ok(ticketer) = rustls::crypto::ring::Ticketer::new() {
            http.ticketer = ticketer;
        }
        let acceptor = |config| TlsAcceptor::from(Arc::new(config));
        Ok(Current { acceptor: acceptor(config), http: acceptor(http), binding })
    }

    fn build(
        &self,
        verifier: Arc<dyn ClientCertVerifier>,
        alpn: &[u8],
        chain: Vec<CertificateDer<'static>>,
        private: PrivateKeyDer<'static>,
    ) -> Result<ServerConfig, TlsError> {
        let provider = &self.offer.provider;
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&self.offer.versions)
            .map_err(|e| unusable(&self.certificate, &e))?
            .with_client_cert_verifier(verifier);
        let mut config = if self.offer.takes_old && chain.first().is_some_and(old_certs::is_old) {
            let key = provider.key_provider.load_private_key(private).map_err(|e| unusable(&self.key, &e))?;
            let pair = CertifiedKey::new(chain, key);
            if !old_certs::is_pair(&pair) {
                return Err(unusable(&self.key, &"it is not the key of the certificate"));
            }
            builder.with_cert_resolver(Arc::new(Always(Arc::new(pair))))
        } else {
            builder.with_single_cert(chain, private).map_err(|e| unusable(&self.certificate, &e))?
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(config)
    }

    /// A client without a certificate passes here in any case: the login tells it what is missing, in words.
    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let Some(clients) = &self.clients else { return Ok(Arc::new(NoClientAuth)) };
        client_certs::verifier(&clients.ca, self.offer.takes_old, provider)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| unusable(path, &e))
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError::Unusable { path: path.to_owned(), reason: reason.to_string() }
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
        let first = Tls::load_or_make(dir.path(), "db.example", None).unwrap();
        assert!(first.current().binding.is_some(), "channel binding works with it");
        let before = fs::read(dir.path().join("server.crt")).unwrap();
        Tls::load_or_make(dir.path(), "db.example", None).unwrap();
        assert_eq!(before, fs::read(dir.path().join("server.crt")).unwrap());
        assert_eq!(fs::metadata(dir.path().join("server.key")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    /// The sizes of the records, without their headers, in what was written to a socket.
    fn records(mut sent: &[u8]) -> Vec<usize> {
        let mut sizes = Vec::new();
        while let [_kind, _major, _minor, high, low, rest @ ..] = sent {
            let size = usize::from(u16::from_be_bytes([*high, *low]));
            sizes.push(size);
            sent = &rest[size..];
        }
        sizes
    }

    #[test]
    fn a_record_is_no_larger_than_what_libpq_has_room_for() {
        let dir = tempfile::tempdir().unwrap();
        let tls = Tls::load_or_make(dir.path(), "db.example", None).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificates(&dir.path().join("server.crt")).unwrap().remove(0)).unwrap();
        let client =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        let mut client =
            rustls::ClientConnection::new(Arc::new(client), "db.example".try_into().unwrap()).unwrap();
        let mut server = rustls::ServerConnection::new(Arc::clone(tls.current().acceptor.config())).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            client.write_tls(&mut up).unwrap();
            server.read_tls(&mut up.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            server.write_tls(&mut down).unwrap();
            client.read_tls(&mut down.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        let mut before = Vec::new();
        server.write_tls(&mut before).unwrap();
        server.writer().write_all(&[b'x'; 4 * MAX_RECORD]).unwrap();
        let mut sent = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut sent).unwrap();
        }
        // Each has the kind of its text and the seal of 16 bytes behind it.
        assert_eq!(records(&sent), [MAX_RECORD + 17; 4]);
    }

    #[test]
    fn a_broken_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["server.crt", "server.key"] {
            fs::write(dir.path().join(file), "not pem").unwrap();
        }
        assert!(Tls::load_or_make(dir.path(), "x", None).unwrap_err().to_string().contains("server.crt"));
    }

    #[test]
    fn the_ca_must_be_there_and_be_one() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.crt");
        let clients = || {
            let wanted = crate::peer::Wanted::Optional;
            Some(ClientCerts { ca: ca.clone(), wanted, names: Vec::new() })
        };
        for text in [None, Some("not pem")] {
            if let Some(text) = text {
                fs::write(&ca, text).unwrap();
            }
            let error = Tls::load_or_make(dir.path(), "x", clients()).unwrap_err().to_string();
            assert!(error.contains("ca.crt"), "{error}");
        }
        let made = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).unwrap();
        fs::write(&ca, made.cert.pem()).unwrap();
        Tls::load_or_make(dir.path(), "x", clients()).unwrap();
    }
}
