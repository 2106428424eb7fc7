//! Which certificates of clients are good.
//!
//! ```text
//!  in the file itself, in its time         good: it is trusted as it is, and nothing that it may have signed
//!  issued by an authority of the file      good: rustls looks along the chain
//!  of the first version of X.509           where PgBouncer's clients come: signed by an authority of the file
//! ```
//!
//! rustls takes whatever it is told to trust for an authority, so it is told of those only that are
//! ([`old_certs::may_issue`]): else whoever has a certificate in the file could issue more, in anybody's name.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};

use super::{TlsError, certificates, unusable};
use crate::upstream::old_certs;

/// Looks at them by the certificates of this file.
pub(super) fn verifier(
    file: &Path,
    takes_old: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let listed = certificates(file)?;
    if listed.is_empty() {
        return Err(unusable(file, &"it is empty"));
    }
    let mut roots = RootCertStore::empty();
    for certificate in listed.iter().filter(|it| old_certs::may_issue(it)) {
        roots.add(certificate.clone()).map_err(|e| unusable(file, &e))?;
    }
    let chains = match roots.is_empty() {
        true => None,
        false => {
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .allow_unauthenticated();
            Some(builder.build().map_err(|e| unusable(file, &e))?)
        }
    };
    let algorithms = provider.signature_verification_algorithms;
    Ok(Arc::new(Listed { listed, chains, takes_old, algorithms }))
}

/// A file, read.
#[derive(Debug)]
struct Listed {
    listed: Vec<CertificateDer<'static>>,
    /// For what its authorities have issued, if there are any.
    chains: Option<Arc<dyn ClientCertVerifier>>,
    takes_old: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Listed {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.as_ref().map_or(&[], |chains| chains.root_hint_subjects())
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let is_old = old_certs::is_old(end_entity);
        if is_old && self.takes_old {
            old_certs::verify(end_entity, &self.listed, &self.algorithms, now)?;
        } else if !is_old && self.listed.contains(end_entity) {
            old_certs::in_time(end_entity, now)?;
        } else {
            let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
            let chains = self.chains.as_ref().ok_or(unknown)?;
            return chains.verify_client_cert(end_entity, intermediates, now);
        }
        Ok(ClientCertVerified::assertion())
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
