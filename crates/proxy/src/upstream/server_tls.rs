//! TLS towards ordinary servers: `server_tls_sslmode` and what belongs to it.

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

use dormouse_pgwire::startup::encode_ssl_request;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::config::PlanError;
use super::encryption::TlsMode;
use super::old_certs::{self, Always};
use crate::backend_stream::BackendStream;
use crate::peer::common_name;
use crate::tls::Offer;

/// Where systems keep the list of the authorities that they trust.
const AUTHORITIES_OF_SYSTEMS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// OpenSSL's variable for another list.
const AUTHORITIES_VARIABLE: &str = "SSL_CERT_FILE";

/// How connections to servers are encrypted.
#[derive(Clone)]
pub(super) struct ServerTls {
    mode: TlsMode,
    /// The authorities, our certificate, its key; and what is offered.
    files: [String; 4],
    client: Option<Arc<ClientConfig>>,
}

impl ServerTls {
    /// `files`: the authorities, our certificate, its key; empty = none. The last text tells offers apart.
    pub(super) fn new(mode: TlsMode, files: [&str; 4], offer: &Offer) -> Result<Self, PlanError> {
        let client = match mode {
            TlsMode::Disable => None,
            // Nothing to speak: what does not insist on it goes without.
            _ if offer.versions.is_empty() && !mode.is_demanded() => None,
            _ => Some(Arc::new(client(mode, [files[0], files[1], files[2]], offer)?)),
        };
        Ok(Self { mode, files: files.map(str::to_owned), client })
    }

    /// Whether connections made with the one are good for the other.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.mode == other.mode && self.files == other.files
    }

    /// Encrypts a new connection, if that is wanted and the server can.
    pub(super) async fn wrap(&self, mut stream: TcpStream, host: &str) -> io::Result<BackendStream> {
        let Some(client) = &self.client else { return Ok(BackendStream::tcp(stream)) };
        stream.write_all(&encode_ssl_request()).await?;
        // One byte and no more: what a third party put behind it must not pass for encrypted.
        match stream.read_u8().await? {
            b'S' => {}
            b'N' if !self.mode.is_demanded() => return Ok(BackendStream::tcp(stream)),
            b'N' => return Err(io::Error::other("the server has no TLS, which server_tls_sslmode asks for")),
            _ => return Err(io::Error::other("the server does not speak PostgreSQL's protocol")),
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::clone(client)).connect(name, stream).await?;
        Ok(BackendStream::Tls(Box::new(stream)))
    }
}

fn client(
    mode: TlsMode,
    [ca, certificate, key]: [&str; 3],
    offer: &Offer,
) -> Result<ClientConfig, PlanError> {
    let provider = Arc::clone(&offer.provider);
    let unusable = |setting: &'static str, reason: &dyn ToString| PlanError::Value {
        setting,
        problem: format!("cannot be used: {}", reason.to_string()),
    };
    let verifier: Arc<dyn ServerCertVerifier> = if mode.is_verified() {
        let system = if ca.is_empty() { authorities_of_the_system() } else { String::new() };
        let ca = if ca.is_empty() { system.as_str() } else { ca };
        if ca.is_empty() {
            let problem =
                "is needed for this server_tls_sslmode: this system has no list of its own".to_owned();
            return Err(PlanError::Value { setting: "server_tls_ca_file", problem });
        }
        let authorities = certificates(ca).map_err(|e| unusable("server_tls_ca_file", &e))?;
        if authorities.is_empty() {
            return Err(unusable("server_tls_ca_file", &"it is empty"));
        }
        // The system's list is not the operator's to put right.
        let inner = chains(&authorities, system.is_empty(), &provider)
            .map_err(|e| unusable("server_tls_ca_file", &e))?;
        let full = mode == TlsMode::VerifyFull;
        let algorithms = provider.signature_verification_algorithms;
        Arc::new(Known { inner, authorities, algorithms, full })
    } else {
        Arc::new(Anybody(Arc::clone(&provider)))
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&offer.versions)
        .map_err(|e| unusable("server_tls_protocols", &e))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    if certificate.is_empty() {
        return Ok(builder.with_no_client_auth());
    }
    let chain = certificates(certificate).map_err(|e| unusable("server_tls_cert_file", &e))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| unusable("server_tls_key_file", &e))?;
    if chain.first().is_some_and(old_certs::is_old) {
        let key = offer
            .provider
            .key_provider
            .load_private_key(key)
            .map_err(|e| unusable("server_tls_key_file", &e))?;
        let pair = CertifiedKey::new(chain, key);
        if !old_certs::is_pair(&pair) {
            return Err(unusable("server_tls_key_file", &"it is not the key of the certificate"));
        }
        return Ok(builder.with_client_cert_resolver(Arc::new(Always(Arc::new(pair)))));
    }
    builder.with_client_auth_cert(chain, key).map_err(|e| unusable("server_tls_cert_file", &e))
}

/// For what the authorities among these have issued, if there are any.
fn chains(
    trusted: &[CertificateDer<'static>],
    strict: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<WebPkiServerVerifier>>, String> {
    let mut roots = RootCertStore::empty();
    for one in trusted.iter().filter(|one| old_certs::may_issue(one)) {
        roots.add(one.clone()).or_else(|e| if strict { Err(e.to_string()) } else { Ok(()) })?;
    }
    if roots.is_empty() {
        return Ok(None);
    }
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    builder.build().map(Some).map_err(|e| e.to_string())
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_file_iter(Path::new(path)).and_then(Iterator::collect)
}

/// Whether a certificate is this server's: by its extension, or without one by its common name.
fn is_of(certificate: &CertificateDer<'_>, server: &ServerName<'_>) -> bool {
    let by_extension = ParsedCertificate::try_from(certificate)
        .is_ok_and(|certificate| verify_server_name(&certificate, server).is_ok());
    let by_common_name = || {
        let name = common_name(certificate).filter(|_| !old_certs::has_alternative_names(certificate));
        name.is_some_and(|name| old_certs::means(&name, &server.to_str()))
    };
    by_extension || by_common_name()
}

/// The authorities that the system trusts, for those who name none; empty: it has no such file.
fn authorities_of_the_system() -> String {
    if let Ok(named) = std::env::var(AUTHORITIES_VARIABLE) {
        return named;
    }
    let found = AUTHORITIES_OF_SYSTEMS.into_iter().find(|path| Path::new(path).is_file());
    found.unwrap_or_default().to_owned()
}

/// `prefer` and `require`: the way is encrypted, whoever is at its end.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        old_certs::verify_tls12(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        old_certs::verify_tls13(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// `verify-ca`: an authority we trust has signed it, for whatever name; `verify-full`: for the right one.
#[derive(Debug)]
struct Known {
    /// For what the authorities among them have issued, if there are any.
    inner: Option<Arc<WebPkiServerVerifier>>,
    authorities: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    full: bool,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if old_certs::is_old(end_entity) {
            old_certs::verify(end_entity, &self.authorities, &self.algorithms, now)?;
        } else if self.authorities.contains(end_entity) {
            // Its own authority, which rustls refuses.
            old_certs::in_time(end_entity, now)?;
        } else {
            // The name is looked at last, so whoever fails for it has passed everything else.
            let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
            let chains = self.inner.as_ref().ok_or(unknown)?;
            match chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
                Ok(_)
                | Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => {}
                Err(other) => return Err(other),
            }
        }
        if self.full && !is_of(end_entity, server_name) {
            return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        old_certs::verify_tls12(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        old_certs::verify_tls13(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
