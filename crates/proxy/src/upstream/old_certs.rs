//! Certificates that OpenSSL takes and rustls does not, because people who run PgBouncer have them: those of X.509
//! version 1, which `openssl x509 -req` made for twenty years, and those that are their own authority, as
//! PostgreSQL's documentation makes them (`openssl req -new -x509`). Those are read here.
//!
//! What is accepted is narrow: of the first version a leaf that an authority of the file has signed itself; of a later
//! one a certificate that is itself in the file. Both in their time. Where nothing else names a certificate, the
//! subject's common name does.

use std::net::IpAddr;
use std::sync::Arc;

use dormouse_base::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, Error};

use crate::peer::{common_name_of, element};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`: the version, which only later ones have.
const VERSION: u8 = 0xa0;
/// `[3]`: the extensions.
const EXTENSIONS: u8 = 0xa3;
const OID: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
/// 2.5.29.17: other names of the subject.
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];
/// 2.5.29.15: what the key may be used for; its sixth bit is for signing certificates.
const KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x0f];
const SIGNS_CERTIFICATES: u8 = 0x04;
/// 2.5.29.19: whether it is an authority.
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x13];
/// True, as DER has it.
const TRUE: [u8; 1] = [0xff];

/// The parts of a certificate.
struct Parts<'a> {
    is_first_version: bool,
    signed: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    begins: i64,
    ends: i64,
    key_algorithm: &'a [u8],
    key: &'a [u8],
    /// What follows the key: unique numbers, which nobody uses, and the extensions.
    rest: &'a [u8],
    signature_algorithm: &'a [u8],
    signature: &'a [u8],
}

/// Takes the element of this tag from the front: its content, and all of it.
fn take<'a>(rest: &mut &'a [u8], tag: u8) -> Option<(&'a [u8], &'a [u8])> {
    let before = *rest;
    let (found, content, after) = element(before)?;
    *rest = after;
    (found == tag).then_some((content, &before[..before.len() - after.len()]))
}

fn bits(content: &[u8]) -> Option<&[u8]> {
    // The first byte says how many bits are not used: none, in what is a key or a signature.
    content.split_first().filter(|(unused, _)| **unused == 0).map(|(_, bits)| bits)
}

fn moment(rest: &mut &[u8]) -> Option<i64> {
    let (tag, text, after) = element(rest)?;
    *rest = after;
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        // Two digits of the year, and the years from 1950 on.
        UTC_TIME => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| text.get(from..to);
    let iso = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?
    );
    iso.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

fn parts(der: &[u8]) -> Option<Parts<'_>> {
    let (mut whole, _) = take(&mut { der }, SEQUENCE)?;
    let (mut inner, signed) = take(&mut whole, SEQUENCE)?;
    let (signature_algorithm, _) = take(&mut whole, SEQUENCE)?;
    let (signature, _) = take(&mut whole, BIT_STRING)?;
    let is_first_version = inner.first() != Some(&VERSION);
    if !is_first_version {
        take(&mut inner, VERSION)?;
    }
    take(&mut inner, INTEGER)?;
    let (algorithm_inside, _) = take(&mut inner, SEQUENCE)?;
    let (issuer, _) = take(&mut inner, SEQUENCE)?;
    let (mut validity, _) = take(&mut inner, SEQUENCE)?;
    let (subject, _) = take(&mut inner, SEQUENCE)?;
    let (mut key_info, _) = take(&mut inner, SEQUENCE)?;
    let (key_algorithm, _) = take(&mut key_info, SEQUENCE)?;
    let (key, _) = take(&mut key_info, BIT_STRING)?;
    let fits = algorithm_inside == signature_algorithm;
    fits.then_some(Parts {
        is_first_version,
        signed,
        issuer,
        subject,
        begins: moment(&mut validity)?,
        ends: moment(&mut validity)?,
        key_algorithm,
        key: bits(key)?,
        rest: inner,
        signature_algorithm,
        signature: bits(signature)?,
    })
}

impl Parts<'_> {
    fn in_time(&self, now: UnixTime) -> Result<(), Error> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let why = match (now < self.begins, now > self.ends) {
            (true, _) => CertificateError::NotValidYet,
            (_, true) => CertificateError::Expired,
            (false, false) => return Ok(()),
        };
        Err(Error::InvalidCertificate(why))
    }
}

/// Whether a certificate that is trusted as it is is valid now.
pub(crate) fn in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
    parts(certificate).ok_or_else(bad)?.in_time(now)
}

/// Whether a certificate says by an extension whose it is. One that cannot be read is taken for such.
pub(crate) fn has_alternative_names(certificate: &CertificateDer<'_>) -> bool {
    parts(certificate)
        .and_then(|parts| extension(parts.rest, ALTERNATIVE_NAMES))
        .is_none_or(|it| it.is_some())
}

/// Whether a certificate that is trusted may issue others: rustls takes whatever it is told to trust for an authority.
/// The rules are OpenSSL's, apart from those for what Netscape said.
pub(crate) fn may_issue(certificate: &CertificateDer<'_>) -> bool {
    parts(certificate).and_then(|parts| issues(&parts)).unwrap_or(false)
}

fn issues(parts: &Parts<'_>) -> Option<bool> {
    if parts.is_first_version {
        return Some(parts.subject == parts.issuer);
    }
    let signs = match extension(parts.rest, KEY_USAGE)? {
        Some(mut value) => {
            let (usage, _) = take(&mut value, BIT_STRING)?;
            Some(usage.get(1).is_some_and(|bits| bits & SIGNS_CERTIFICATES != 0))
        }
        None => None,
    };
    let is_authority = match extension(parts.rest, BASIC_CONSTRAINTS)? {
        Some(mut value) => {
            let (mut constraints, _) = take(&mut value, SEQUENCE)?;
            take(&mut constraints, BOOLEAN).is_some_and(|(is, _)| is == TRUE)
        }
        None => signs == Some(true),
    };
    Some(is_authority && signs != Some(false))
}

/// The value of an extension, if there is one.
fn extension(mut rest: &[u8], wanted: [u8; 3]) -> Option<Option<&[u8]>> {
    while !rest.is_empty() {
        let (tag, mut wrapped, after) = element(rest)?;
        rest = after;
        if tag != EXTENSIONS {
            continue;
        }
        let (mut extensions, _) = take(&mut wrapped, SEQUENCE)?;
        while !extensions.is_empty() {
            let (mut extension, _) = take(&mut extensions, SEQUENCE)?;
            if take(&mut extension, OID)?.0 == wanted {
                if extension.first() == Some(&BOOLEAN) {
                    // Whether who does not know it must refuse the certificate.
                    take(&mut extension, BOOLEAN)?;
                }
                return take(&mut extension, OCTET_STRING).map(|(value, _)| Some(value));
            }
        }
    }
    Some(None)
}

/// Whether a common name, perhaps `*.` and a domain, means this host.
pub(crate) fn means(name: &str, host: &str) -> bool {
    let is_domain =
        |domain: &str| domain.split('.').count() > 1 && domain.split('.').all(|part| !part.is_empty());
    let is_address = host.parse::<IpAddr>().is_ok();
    let wild = name.strip_prefix("*.").filter(|domain| is_domain(domain) && !is_address);
    let host_domain = host.split_once('.').filter(|(first, _)| !first.is_empty()).map(|(_, domain)| domain);
    name.eq_ignore_ascii_case(host)
        || wild.is_some_and(|domain| host_domain.is_some_and(|it| it.eq_ignore_ascii_case(domain)))
}

/// Whether a certificate is of the first version.
pub(crate) fn is_old(certificate: &CertificateDer<'_>) -> bool {
    parts(certificate).is_some_and(|parts| parts.is_first_version)
}

/// The common name of one.
pub(crate) fn name(certificate: &CertificateDer<'_>) -> Option<String> {
    parts(certificate).filter(|parts| parts.is_first_version).and_then(|parts| common_name_of(parts.subject))
}

/// Whether one of these authorities has signed it, and it is valid now.
pub(crate) fn verify(
    certificate: &CertificateDer<'_>,
    authorities: &[CertificateDer<'_>],
    algorithms: &WebPkiSupportedAlgorithms,
    now: UnixTime,
) -> Result<(), Error> {
    let bad = |why| Err(Error::InvalidCertificate(why));
    let Some(it) = parts(certificate) else { return bad(CertificateError::BadEncoding) };
    it.in_time(now)?;
    let fits = |issuer: &Parts<'_>| issuer.subject == it.issuer && issues(issuer).unwrap_or(false);
    let issuers = authorities.iter().filter_map(|der| parts(der)).filter(fits);
    for issuer in issuers {
        let signed = |algorithm: &&&dyn SignatureVerificationAlgorithm| {
            algorithm.signature_alg_id().as_ref() == it.signature_algorithm
                && algorithm.public_key_alg_id().as_ref() == issuer.key_algorithm
                && algorithm.verify_signature(issuer.key, it.signed, it.signature).is_ok()
        };
        if algorithms.all.iter().any(|algorithm| signed(&algorithm)) {
            return Ok(());
        }
    }
    bad(CertificateError::UnknownIssuer)
}

/// Whether the holder of a certificate, old or new, has signed a handshake of TLS 1.2.
pub(crate) fn verify_tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    verify_handshake(certificate, message, signed, algorithms)
        .unwrap_or_else(|| verify_tls12_signature(message, certificate, signed, algorithms))
}

/// The same of TLS 1.3.
pub(crate) fn verify_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    verify_handshake(certificate, message, signed, algorithms)
        .unwrap_or_else(|| verify_tls13_signature(message, certificate, signed, algorithms))
}

/// `None` for a certificate that is not old.
fn verify_handshake(
    certificate: &CertificateDer<'_>,
    message: &[u8],
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Option<Result<HandshakeSignatureValid, Error>> {
    let it = parts(certificate).filter(|parts| parts.is_first_version)?;
    let of_scheme = algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
    let fits = |algorithm: &&dyn SignatureVerificationAlgorithm| {
        algorithm.public_key_alg_id().as_ref() == it.key_algorithm
            && algorithm.verify_signature(it.key, message, signed.signature()).is_ok()
    };
    let good = of_scheme.is_some_and(|(_, algorithms)| algorithms.iter().any(fits));
    Some(if good {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(Error::InvalidCertificate(CertificateError::BadSignature))
    })
}

/// Whether a key is that of its certificate, which rustls cannot say of an old one.
pub(crate) fn is_pair(pair: &CertifiedKey) -> bool {
    let Some(it) = pair.cert.first().and_then(|der| parts(der)) else { return false };
    pair.key.public_key().is_some_and(|public| public.as_ref().ends_with(it.key))
}

/// Always the same certificate.
#[derive(Debug)]
pub(crate) struct Always(pub(crate) Arc<CertifiedKey>);

impl rustls::server::ResolvesServerCert for Always {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl rustls::client::ResolvesClientCert for Always {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
