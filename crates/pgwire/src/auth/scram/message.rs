//! The four SCRAM messages: letters, `=`, values, commas.
//!
//! ```text
//!  client-first   n,,n=user,r=NONCE           gs2 header · bare part      letters come in a fixed order;
//!  server-first   r=NONCE,s=SALT,i=4096                                   unknown ones may follow in the
//!  client-final   c=BINDING,r=NONCE,p=PROOF   all but p is signed         client's messages and are skipped
//!  server-final   v=SIGNATURE  or  e=reason
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ScramError::{self, Malformed, Unsupported};
use super::binding::TYPE;
use super::keys::{KEY_LEN, Key};
use crate::limit::MAX_SASL_MESSAGE;

/// What the client says about channel binding, before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gs2 {
    /// `n`: it cannot.
    No,
    /// `y`: it can, and thinks that the server cannot.
    Unused,
    /// `p=tls-server-end-point`: it does.
    Bound,
}

impl Gs2 {
    /// The header with which client-first starts.
    pub(super) fn header(self) -> String {
        match self {
            Self::No => "n,,".to_owned(),
            Self::Unused => "y,,".to_owned(),
            Self::Bound => format!("p={TYPE},,"),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFirst<'a> {
    pub(super) gs2: Gs2,
    /// What follows the gs2 header; part of what is signed.
    pub(super) bare: &'a [u8],
    pub(super) nonce: &'a str,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerFirst<'a> {
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFinal<'a> {
    pub(super) binding: &'a [u8],
    pub(super) nonce: &'a [u8],
    pub(super) proof: Key,
    /// Everything before `,p=`; part of what is signed.
    pub(super) without_proof: &'a [u8],
}

/// Reads attributes from front to back.
struct Reader<'a> {
    left: Option<&'a [u8]>,
}

impl<'a> Reader<'a> {
    fn new(message: &'a [u8]) -> Result<Self, ScramError> {
        match message {
            [] => Err(Malformed("it is empty")),
            _ if message.len() > MAX_SASL_MESSAGE => Err(Malformed("it is too long")),
            _ if message.contains(&0) => Err(Malformed("it holds a zero byte")),
            _ => Ok(Self { left: Some(message) }),
        }
    }

    /// Up to the next comma or the end.
    fn part(&mut self) -> Result<&'a [u8], ScramError> {
        let left = self.left.ok_or(Malformed("an attribute is missing"))?;
        match memchr::memchr(b',', left) {
            Some(comma) => {
                self.left = Some(&left[comma + 1..]);
                Ok(&left[..comma])
            }
            None => Ok(self.left.take().unwrap_or_default()),
        }
    }

    /// The next attribute, whatever its letter.
    fn any(&mut self) -> Result<(u8, &'a [u8]), ScramError> {
        match self.part()? {
            [letter, b'=', value @ ..] if letter.is_ascii_alphabetic() => Ok((*letter, value)),
            _ => Err(Malformed("an attribute is not a letter, \"=\" and a value")),
        }
    }

    /// The next attribute, which must have this letter.
    fn expect(&mut self, letter: u8) -> Result<&'a [u8], ScramError> {
        match self.any()? {
            (found, value) if found == letter => Ok(value),
            (b'm', _) => Err(Unsupported("a mandatory extension")),
            _ => Err(Malformed("an attribute is missing or out of order")),
        }
    }

    fn nonce(&mut self) -> Result<&'a str, ScramError> {
        let value = self.expect(b'r')?;
        std::str::from_utf8(value)
            .ok()
            .filter(|nonce| !nonce.is_empty() && nonce.bytes().all(|c| c.is_ascii_graphic()))
            .ok_or(Malformed("its nonce has characters that cannot be printed"))
    }
}

impl<'a> ClientFirst<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, ScramError> {
        let mut reader = Reader::new(message)?;
        let gs2 = match reader.part()? {
            b"n" => Gs2::No,
            b"y" => Gs2::Unused,
            flag if flag.strip_prefix(b"p=") == Some(TYPE.as_bytes()) => Gs2::Bound,
            [b'p', b'=', ..] => return Err(Unsupported("this channel binding type")),
            _ => return Err(Malformed("its channel binding flag is unknown")),
        };
        if !reader.part()?.is_empty() {
            return Err(Unsupported("an authorization identity"));
        }
        let bare = reader.left.unwrap_or_default();
        // The name counts for nothing: the role is the startup packet's, as in PostgreSQL.
        reader.expect(b'n')?;
        let nonce = reader.nonce()?;
        while reader.left.is_some() {
            reader.any()?;
        }
        Ok(Self { gs2, bare, nonce })
    }
}

impl<'a> ServerFirst<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, ScramError> {
        let mut reader = Reader::new(message)?;
        let nonce = reader.nonce()?;
        let salt = STANDARD.decode(reader.expect(b's')?).map_err(|_| Malformed("its salt is not base64"))?;
        let iterations = std::str::from_utf8(reader.expect(b'i')?)
            .ok()
            .and_then(|rounds| rounds.parse().ok())
            .filter(|rounds| *rounds > 0)
            .ok_or(Malformed("its number of rounds is not one"))?;
        if reader.left.is_some() {
            return Err(Malformed("it has something after its end"));
        }
        Ok(Self { nonce, salt, iterations })
    }
}

impl<'a> ClientFinal<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, ScramError> {
        let mut reader = Reader::new(message)?;
        let binding = reader.expect(b'c')?;
        let nonce = reader.nonce()?.as_bytes();
        loop {
            let before = message.len() - reader.left.unwrap_or_default().len();
            if let (b'p', proof) = reader.any()? {
                if reader.left.is_some() {
                    return Err(Malformed("it has something after its proof"));
                }
                let proof = key(proof).ok_or(Malformed("its proof is not a key in base64"))?;
                return Ok(Self { binding, nonce, proof, without_proof: &message[..before - 1] });
            }
        }
    }
}

/// The signature in server-final.
pub(super) fn parse_server_final(message: &[u8]) -> Result<Key, ScramError> {
    match Reader::new(message)?.any()? {
        (b'v', value) => key(value).ok_or(Malformed("its signature is not a key in base64")),
        (b'e', reason) => Err(ScramError::Refused(String::from_utf8_lossy(reason).into_owned())),
        _ => Err(Malformed("it has neither a signature nor an error")),
    }
}

fn key(text: &[u8]) -> Option<Key> {
    <[u8; KEY_LEN]>::try_from(STANDARD.decode(text).ok()?).ok()
}

/// The text that both sides sign.
pub(super) fn auth_message(client_first_bare: &[u8], server_first: &[u8], without_proof: &[u8]) -> Vec<u8> {
    [client_first_bare, server_first, without_proof].join(&b","[..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn client_first() {
        let message = ClientFirst::parse(b"n,,n=\xffname,r=abc,x=ext").unwrap();
        assert_eq!(message, ClientFirst { gs2: Gs2::No, bare: b"n=\xffname,r=abc,x=ext", nonce: "abc" });
        assert_eq!(ClientFirst::parse(b"y,,n=,r=a").unwrap().gs2, Gs2::Unused);
        assert_eq!(ClientFirst::parse(b"p=tls-server-end-point,,n=,r=a").unwrap().gs2, Gs2::Bound);
        for unsupported in [&b"p=tls-unique,,n=,r=a"[..], b"n,a=other,n=,r=a", b"n,,m=ext,n=,r=a"] {
            assert!(matches!(ClientFirst::parse(unsupported), Err(Unsupported(_))), "{unsupported:?}");
        }
        for bad in [
            &b""[..],
            b"n",
            b"n,",
            b"n,,",
            b"x,,n=,r=a",
            b"n,,n=",
            b"n,,r=a",
            b"n,,n=,r=",
            b"n,,n=,r=a b",
            b"n,,n=,r=\xc3\xa4",
            b"n,,n=,r=a,",
            b"n,,n=,r=a\0",
            b"n,,n=,r=a,nope",
        ] {
            assert!(matches!(ClientFirst::parse(bad), Err(Malformed(_))), "{bad:?}");
        }
        assert!(ClientFirst::parse(&[b"n,,n=,r=".to_vec(), vec![b'a'; MAX_SASL_MESSAGE]].concat()).is_err());
    }

    #[test]
    fn client_final() {
        let proof = STANDARD.encode([7; 32]);
        let text = format!("c=biws,r=abc,x=ext,p={proof}");
        let message = ClientFinal::parse(text.as_bytes()).unwrap();
        assert_eq!((message.binding, message.nonce), (&b"biws"[..], &b"abc"[..]));
        assert_eq!((message.proof, message.without_proof), ([7; 32], &b"c=biws,r=abc,x=ext"[..]));
        for bad in [
            "c=biws,r=abc".to_owned(),
            format!("c=biws,p={proof}"),
            format!("r=abc,c=biws,p={proof}"),
            format!("c=biws,r=abc,p={proof},x=ext"),
            format!("c=biws,r=abc,p={}", STANDARD.encode([7; 31])),
            "c=biws,r=abc,p=!".to_owned(),
        ] {
            assert!(matches!(ClientFinal::parse(bad.as_bytes()), Err(Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn server_messages() {
        let first = ServerFirst::parse(b"r=ab,s=c2FsdA==,i=4096").unwrap();
        assert_eq!(first, ServerFirst { nonce: "ab", salt: b"salt".to_vec(), iterations: 4096 });
        for bad in [
            &b"r=ab,s=c2FsdA==,i=0"[..],
            b"r=ab,s=c2FsdA==,i=-1",
            b"r=ab,s=?,i=1",
            b"r=ab,i=1",
            b"r=a,s=,i=1,x=1",
        ] {
            assert!(ServerFirst::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse_server_final(b"e=other-error"), Err(ScramError::Refused("other-error".into())));
        assert!(parse_server_final(b"v=AAAA").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(message in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            "[nyp],,?[nramcpsive]=[a-z0-9=]{0,6}(,[nramcpsive]=[a-zA-Z0-9=+/]{0,44}){0,3}".prop_map(String::into_bytes),
        ]) {
            let _ = ClientFirst::parse(&message);
            let _ = ServerFirst::parse(&message);
            let _ = ClientFinal::parse(&message);
            let _ = parse_server_final(&message);
        }
    }
}
