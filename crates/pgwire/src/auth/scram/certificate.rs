//! Just enough X.509 to find out how a certificate is signed.
//!
//! ```text
//!  Certificate ::= SEQUENCE {
//!      tbsCertificate      SEQUENCE { … }              skipped
//!      signatureAlgorithm  SEQUENCE { OID, … }         the OID names the hash function
//!      signature           BIT STRING }
//! ```

use sha2::{Digest, Sha256, Sha384, Sha512};

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;

/// PKCS #1 signatures: 1.2.840.113549.1.1.*
const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// ECDSA with SHA-1: 1.2.840.10045.4.1
const ECDSA_SHA1: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];
/// ECDSA with SHA-2: 1.2.840.10045.4.3.*
const ECDSA: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];

/// The hash of a certificate, by the rules of RFC 5929 §4.1.
pub(super) fn end_point_hash(der: &[u8]) -> Option<Vec<u8>> {
    let oid = signature_oid(der)?;
    let rsa = oid.strip_prefix(&RSA).map(|rest| match rest {
        // MD5, SHA-1 and SHA-256
        [4 | 5 | 11] => Some(256),
        [12] => Some(384),
        [13] => Some(512),
        _ => None,
    });
    let ecdsa = oid.strip_prefix(&ECDSA).map(|rest| match rest {
        [2] => Some(256),
        [3] => Some(384),
        [4] => Some(512),
        _ => None,
    });
    let bits = rsa.or(ecdsa).unwrap_or_else(|| (oid == ECDSA_SHA1).then_some(256))?;
    Some(match bits {
        384 => Sha384::digest(der).to_vec(),
        512 => Sha512::digest(der).to_vec(),
        _ => Sha256::digest(der).to_vec(),
    })
}

fn signature_oid(der: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (_, after_tbs) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(after_tbs, SEQUENCE)?;
    Some(element(algorithm, OID)?.0)
}

/// The content of the DER element at the start, which must be of this type, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    // Up to 0x7f: the length itself. Above: how many bytes of length follow.
    let size = usize::from(first & 0x7f);
    let (len, rest) = if first < 0x80 {
        (size, rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(size).filter(|_| (1..=4).contains(&size))?;
        (bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
    };
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    /// Self-signed with openssl, ECDSA P-256, `-sha256` and `-sha384`.
    const SHA256: &str = "MIIBfTCCASOgAwIBAgIUX0I0kyh2i5PqhKTEBPOS3QIh0akwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJbG9jYWxob3N0MB4XDTI2MTEyMDIzMTM0MloXDTM2MTExNzIzMTM0MlowFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEX2QVextcVwNOiMkcrMXh6tFbCBKcCh9uQ5tA++nOeWG83OBxWS6r+IR8eYqLnMQ8w8uqPa7G64197F37+y+PpaNTMFEwHQYDVR0OBBYEFEODbPRczQKJ3nk+/QUJkX5Fj+xUMB8GA1UdIwQYMBaAFEODbPRczQKJ3nk+/QUJkX5Fj+xUMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgfvWPcWYORvDrmFqi5s45dIY9C/kk/AzjGsSq3DQTftcCIQCPAILt3c12tN+D9/qTPeVLyPU+sJg8o7EC5wHEFYJF9A==";
    const SHA384: &str = "MIIBbTCCAROgAwIBAgIUb1aNg+cfmieaBnY8WHEH+RIo690wCgYIKoZIzj0EAwMwDDEKMAgGA1UEAwwBeDAeFw0yNjExMjAyMzEzNDJaFw0zNjExMTcyMzEzNDJaMAwxCjAIBgNVBAMMAXgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAT0yGCkGb7FmdobpWjz/I9ahDBajPsnlTXL3ZrHz1htgft28xmsjoB3fKOpcGUTYIxIAtYLC2ZSNPEDYJ/EpHKio1MwUTAdBgNVHQ4EFgQUgPs22pMjxILdPG9GAHMThiD+iu8wHwYDVR0jBBgwFoAUgPs22pMjxILdPG9GAHMThiD+iu8wDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAwNIADBFAiEA/JxYHn44jaGPwh8ltBnyKPh6WiwUR958FAJOjXVs2osCIEnFh1NYbLUHs5z5L/dfYqDDBvBhDlCNa94HDCMKdiBx";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn real_certificates() {
        let hash = end_point_hash(&STANDARD.decode(SHA256).unwrap()).unwrap();
        assert_eq!(hex(&hash), "7429c169d752bf98560bfb3a79e6962df690b11ec287c3909c6f1caa9e8bd740");
        let hash = end_point_hash(&STANDARD.decode(SHA384).unwrap()).unwrap();
        assert_eq!(
            hex(&hash),
            "387f4341f5ea0825d12c2ee92d4dcc6aeb8e28e93552831448549ae13fa88ad38eae7c12d8c5e2ec5494cc8dafe3384a"
        );
    }

    /// A certificate with nothing in it but how it is signed.
    fn signed_with(oid: &[u8]) -> Vec<u8> {
        let part = |tag: u8, body: &[u8]| [&[tag, u8::try_from(body.len()).unwrap()][..], body].concat();
        let algorithm = part(SEQUENCE, &part(OID, oid));
        part(SEQUENCE, &[part(SEQUENCE, b"tbs"), algorithm].concat())
    }

    #[test]
    fn hash_functions_follow_the_signature() {
        for (oid, len) in [
            ([&RSA[..], &[5]].concat(), Some(32)),
            ([&RSA[..], &[11]].concat(), Some(32)),
            ([&RSA[..], &[13]].concat(), Some(64)),
            ([&RSA[..], &[10]].concat(), None),
            (ECDSA_SHA1.to_vec(), Some(32)),
            ([&ECDSA[..], &[4]].concat(), Some(64)),
            (vec![0x2b, 0x65, 0x70], None),
        ] {
            assert_eq!(end_point_hash(&signed_with(&oid)).map(|hash| hash.len()), len, "{oid:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(der in proptest::collection::vec(prop_oneof![Just(0x30_u8), Just(6), any::<u8>()], 0..40)) {
            let _ = end_point_hash(&der);
        }
    }
}
