//! A certificate as `openssl x509 -req` made them, with its authority and its key.

use std::time::Duration;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::*;

/// Made by `openssl x509 -req` of OpenSSL 3.0, for a hundred years.
const LEAF: &str = "-----BEGIN CERTIFICATE-----
MIIBMTCB1wIUQgKasUUp5SOWkj/dOPGET4z2AtIwCgYIKoZIzj0EAwIwETEPMA0G
A1UEAwwGT2xkIENBMCAXDTI2MTEyNjAzMjQzMVoYDzIxMjYxMTAyMDMyNDMxWjAj
MQwwCgYDVQQKDANPcmcxEzARBgNVBAMMCmRiLmV4YW1wbGUwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAARsq5icfAA+sK23dPjcUpvwaTFatLExyY2EYNXjlDQXv0Ym
ljwFKPGaQWNyV7IKVCd9aclHEeOd1OMlWNobN1CMMAoGCCqGSM49BAMCA0kAMEYC
IQDu/cAtl+UhF/STEHlx2NyQ6qJNbhjUc6TdRkYSb1/8UwIhAPef4lev3bJ6rb7n
CbiT0nurfWhE6CkXZjCqq+OHMk9y
-----END CERTIFICATE-----";

const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBeDCCAR+gAwIBAgIUZ2a8Et6Kw3M5tshmFSj2wrOfrOwwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGT2xkIENBMCAXDTI2MTEyNjAzMjQzMFoYDzIxMjYxMTAyMDMy
NDMwWjARMQ8wDQYDVQQDDAZPbGQgQ0EwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAQpOHAUyVck+HTpzJQrSSAWP7TVKb28v1LXaezX3wiy6hjhTMfjk+ObEK7wQm6Q
VnVY/FrCK9n6Cu/D/PHn+1Ajo1MwUTAdBgNVHQ4EFgQUwjy7PCQRCQaJBesdcOoh
AKDl4b4wHwYDVR0jBBgwFoAUwjy7PCQRCQaJBesdcOohAKDl4b4wDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAtGziZ216Hw+/VkfGe3i/FtEEP8FPX
gGwHUOT3og5/tgIgAcmzWFjjUkCB+7XWcrfmsUSVocUdfOAusSyqTQ6ib+0=
-----END CERTIFICATE-----";

/// Of the leaf; it guards nothing.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3w0yr/UYl1JKaooK
ElriHmDJ7uXREhUJU4vriymcCvahRANCAARsq5icfAA+sK23dPjcUpvwaTFatLEx
yY2EYNXjlDQXv0YmljwFKPGaQWNyV7IKVCd9aclHEeOd1OMlWNobN1CM
-----END PRIVATE KEY-----";

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn at(year: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_557_600))
}

#[test]
fn an_old_certificate_is_read_and_verified() {
    let (leaf, authority) = (certificate(LEAF), certificate(AUTHORITY));
    let algorithms = default_provider().signature_verification_algorithms;
    assert!(is_old(&leaf) && !is_old(&authority));
    assert_eq!(name(&leaf).as_deref(), Some("db.example"));
    let authorities = [authority.clone()];
    let check =
        |leaf: &CertificateDer<'_>, authorities: &[_], now| verify(leaf, authorities, &algorithms, now);
    assert_eq!(check(&leaf, &authorities, at(2030)), Ok(()));
    let refused = |result: Result<(), Error>, why| assert_eq!(result, Err(Error::InvalidCertificate(why)));
    refused(check(&leaf, &authorities, at(2020)), CertificateError::NotValidYet);
    refused(check(&leaf, &authorities, at(2200)), CertificateError::Expired);
    refused(check(&leaf, &[], at(2030)), CertificateError::UnknownIssuer);
    let other = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).unwrap();
    refused(check(&leaf, &[other.cert.der().clone()], at(2030)), CertificateError::UnknownIssuer);
    // One byte of the name, and the signature does not fit any more.
    let place = leaf.windows(10).position(|part| part == b"db.example").unwrap();
    let mut forged = leaf.to_vec();
    forged[place] = b'e';
    refused(check(&forged.into(), &authorities, at(2030)), CertificateError::UnknownIssuer);
    assert_eq!(name(&CertificateDer::from(leaf[..60].to_vec())), None);
}

#[test]
fn a_key_belongs_to_one_certificate() {
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let key = default_provider().key_provider.load_private_key(key).unwrap();
    assert!(is_pair(&CertifiedKey::new(vec![certificate(LEAF)], Arc::clone(&key))));
    assert!(!is_pair(&CertifiedKey::new(vec![certificate(AUTHORITY)], key)));
}

#[test]
fn what_is_trusted_as_it_is_has_its_time_too() {
    let authority = certificate(AUTHORITY);
    assert_eq!(in_time(&authority, at(2030)), Ok(()));
    for year in [2020, 2200] {
        assert!(in_time(&authority, at(year)).is_err(), "{year}");
    }
    let named = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).unwrap();
    assert!(has_alternative_names(named.cert.der()));
    assert!(has_alternative_names(&CertificateDer::from(vec![0x30])));
    assert!(!has_alternative_names(&authority) && !has_alternative_names(&certificate(LEAF)));
}

#[test]
fn only_authorities_issue() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
    let made = |is_ca: IsCa, usages: &[KeyUsagePurpose]| {
        let mut params = CertificateParams::new(vec!["x".to_owned()]).unwrap();
        (params.is_ca, params.key_usages) = (is_ca, usages.to_vec());
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    };
    let authority = || IsCa::Ca(BasicConstraints::Unconstrained);
    assert!(may_issue(&made(authority(), &[])) && may_issue(&certificate(AUTHORITY)));
    assert!(may_issue(&made(authority(), &[KeyUsagePurpose::KeyCertSign])));
    assert!(!may_issue(&made(authority(), &[KeyUsagePurpose::DigitalSignature])));
    for nobody in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        assert!(!may_issue(&made(nobody, &[KeyUsagePurpose::DigitalSignature])));
    }
    assert!(!may_issue(&made(IsCa::NoCa, &[])) && !may_issue(&certificate(LEAF)));
    assert!(!may_issue(&CertificateDer::from(vec![0x30])));
}

#[test]
fn a_common_name_means_a_host() {
    for (name, host, wanted) in [
        ("db.Example", "DB.example", true),
        ("*.example.com", "db.example.com", true),
        ("*.example.com", "a.db.example.com", false),
        ("*.example.com", "example.com", false),
        ("*.com", "example.com", false),
        ("*", "db", false),
        ("*.example.", "db.example.", false),
        ("10.0.0.1", "10.0.0.1", true),
        ("*.0.0.1", "10.0.0.1", false),
    ] {
        assert_eq!(means(name, host), wanted, "{name} {host}");
    }
}
