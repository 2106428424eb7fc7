//! Client certificates: what the server asks for, and whom a certificate stands for.
//!
//! ```text
//!  --tls-client-cert   no certificate   for the role    for another role
//!  optional            password         no password     password
//!  required            refused          no password     refused
//! ```
//!
//! rustls has verified the chain before anything here looks at it: a certificate of another authority, or
//! one that has expired, ends the handshake. What is left is the name: the subject's common name (CN), which
//! must be the role's, or be mapped to it. A subject without exactly one readable CN stands for nobody.
//!
//! The authority speaks for every project of the server, so it must not be one that hands out certificates
//! for names that its clients choose.

use std::path::PathBuf;

use dormouse_pgwire::ClientError;
use dormouse_pgwire::client_error::quoted;
use dormouse_pgwire::sqlstate::SqlState;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::session::help;
use crate::upstream::old_certs;

/// Whether a client must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// One that shows none proves itself otherwise.
    Optional,
    /// Nobody gets in without one for the role.
    Required,
}

/// What the server asks of clients' certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCerts {
    /// The file with the authorities that sign them, PEM.
    pub ca: PathBuf,
    /// Whether a client must show one.
    pub wanted: Wanted,
    /// Common names that stand for other roles than their own: (common name, role). A name that is
    /// here stands for these roles only.
    pub names: Vec<(String, String)>,
}

impl ClientCerts {
    /// Whether what was shown proves the role. `shown` is a verified chain, the client's own first.
    ///
    /// # Errors
    /// When a certificate is required, and this one does not prove the role.
    pub fn prove(&self, shown: Option<&[CertificateDer<'_>]>, role: &str) -> Result<bool, ClientError> {
        let Some(first) = shown.and_then(<[_]>::first) else {
            return match self.wanted {
                Wanted::Optional => Ok(false),
                Wanted::Required => Err(required()),
            };
        };
        let name = common_name(first);
        let proven = name.as_deref().is_some_and(|name| self.stands_for(name, role));
        match self.wanted {
            Wanted::Required if !proven => Err(not_for(role, name.as_deref())),
            _ => Ok(proven),
        }
    }

    fn stands_for(&self, name: &str, role: &str) -> bool {
        let mut mapped = self.names.iter().filter(|(from, _)| from == name).peekable();
        if mapped.peek().is_some() { mapped.any(|(_, to)| to == role) } else { name == role }
    }
}

fn required() -> ClientError {
    let text = "this server asks every client for a certificate";
    ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text)
        .with_detail("The connection came without TLS, or the client showed no certificate.")
        .with_hint(format!("Set sslcert and sslkey. {}", help("client-certificate-required")))
}

fn not_for(role: &str, name: Option<&str>) -> ClientError {
    let seen = match name {
        Some(name) => format!("Its common name is {}.", quoted(name)),
        None => "It has no common name, or several.".to_owned(),
    };
    let text = format!("certificate authentication failed for user {}", quoted(role));
    ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text)
        .with_detail(seen)
        .with_hint(help("client-certificate-required"))
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
/// UTF8String, PrintableString, IA5String: those whose bytes are UTF-8 as they are.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];
/// 2.5.4.3
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

/// The common name of a certificate's subject, if it has exactly one that is plain text.
pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    match EndEntityCert::try_from(certificate) {
        Ok(certificate) => common_name_of(certificate.subject()),
        Err(_) => old_certs::name(certificate),
    }
}

/// The same of a subject.
pub(crate) fn common_name_of(subject: &[u8]) -> Option<String> {
    let mut names = Vec::new();
    let mut parts = subject;
    while !parts.is_empty() {
        let (tag, mut part, rest) = element(parts)?;
        parts = rest;
        while tag == SET && !part.is_empty() {
            let (tag, pair, more) = element(part)?;
            part = more;
            let (id_tag, id, value) = element(pair)?;
            if (tag, id_tag, id) == (SEQUENCE, OID, &COMMON_NAME[..]) {
                names.push(value);
            }
        }
    }
    let [name] = names.as_slice() else { return None };
    let (tag, text, _) = element(name)?;
    let text = std::str::from_utf8(text).ok().filter(|t| !t.is_empty() && !t.contains('\0'))?;
    TEXTS.contains(&tag).then(|| text.to_owned())
}

/// The tag and content of the DER element at the start, and what follows it.
pub(crate) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    // Up to 0x7f: the length itself. Above: how many bytes of length follow.
    let size = usize::from(first & 0x7f);
    let (len, rest) = if first < 0x80 {
        (size, rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(size).filter(|_| (1..=4).contains(&size))?;
        (bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    fn certificate(name: &[(DnType, &str)]) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, text) in name {
            params.distinguished_name.push(kind.clone(), DnValue::Utf8String((*text).to_owned()));
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn certs(wanted: Wanted, names: &[(&str, &str)]) -> ClientCerts {
        let names = names.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        ClientCerts { ca: PathBuf::new(), wanted, names }
    }

    #[test]
    fn the_common_name_is_found() {
        let name = |parts: &[(DnType, &str)]| common_name(&certificate(parts));
        let full =
            [(DnType::CountryName, "DE"), (DnType::OrganizationName, "anna"), (DnType::CommonName, "bert")];
        assert_eq!(name(&full).as_deref(), Some("bert"));
        assert_eq!(name(&[(DnType::CommonName, "größe")]).as_deref(), Some("größe"));
        assert_eq!(name(&[(DnType::OrganizationName, "anna")]), None);
        assert_eq!(name(&[(DnType::CommonName, "")]), None);
        assert_eq!(name(&[(DnType::CommonName, "anna\0bert")]), None);
        assert_eq!(common_name(&CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])), None);
    }

    #[test]
    fn who_gets_in_without_a_password() {
        let anna = [certificate(&[(DnType::CommonName, "anna")])];
        let optional = certs(Wanted::Optional, &[]);
        assert_eq!(optional.prove(None, "anna"), Ok(false));
        assert_eq!(optional.prove(Some(&anna), "anna"), Ok(true));
        assert_eq!(optional.prove(Some(&anna), "bert"), Ok(false));
        assert_eq!(optional.prove(Some(&anna), "Anna"), Ok(false));
        let required = certs(Wanted::Required, &[]);
        assert_eq!(required.prove(Some(&anna), "anna"), Ok(true));
        assert!(required.prove(None, "anna").unwrap_err().message.contains("asks every client"));
        let error = required.prove(Some(&anna), "bert").unwrap_err();
        assert_eq!(error.detail.as_deref(), Some("Its common name is \"anna\"."));
    }

    #[test]
    fn a_mapped_name_stands_for_its_roles_only() {
        let host = [certificate(&[(DnType::CommonName, "web.example")])];
        let mapped =
            certs(Wanted::Optional, &[("web.example", "app"), ("web.example", "reports"), ("x", "y")]);
        for (role, proven) in [("app", true), ("reports", true), ("web.example", false), ("y", false)] {
            assert_eq!(mapped.prove(Some(&host), role), Ok(proven), "{role}");
        }
    }
}
