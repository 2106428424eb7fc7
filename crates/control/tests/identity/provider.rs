//! A small identity provider on this machine: it tells its keys, and signs what it is asked to.

#![allow(unreachable_pub, reason = "a part of one test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use dormouse_base::clock;
use dormouse_runtime::task::Scope;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json as j};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Made for this test, and used nowhere else.
const RSA: &[u8] = include_bytes!("../keys/rsa.pk8");

pub struct Provider {
    issuer: String,
    asked: Arc<AtomicUsize>,
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    _scope: Scope,
}

/// Seconds since 1970.
pub fn in_an_hour() -> i64 {
    clock::now().as_second() + 3600
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64.encode(bytes)
}

impl Provider {
    pub async fn start() -> Self {
        let random = SystemRandom::new();
        let rsa = RsaKeyPair::from_pkcs8(RSA).unwrap();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random).unwrap();
        let ed =
            Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(rsa.public_key());
        let point = ec.public_key().as_ref();
        let keys = j!({"keys": [
            {"kty": "RSA", "kid": "rs", "use": "sig", "n": encoded(public.n), "e": encoded(public.e)},
            {"kty": "EC", "kid": "es", "crv": "P-256", "x": encoded(&point[1..33]), "y": encoded(&point[33..])},
            {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": encoded(ed.public_key())},
        ]});
        let found = j!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
        let (asked, scope) = (Arc::new(AtomicUsize::new(0)), Scope::new());
        let count = Arc::clone(&asked);
        scope.spawn("provider", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 4096];
                let read = stream.read(&mut head).await.unwrap_or_default();
                let wants_keys = head[..read].starts_with(b"GET /keys ");
                count.fetch_add(1, Ordering::SeqCst);
                let body = if wants_keys { keys.to_string() } else { found.to_string() };
                let reply = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _gone = stream.write_all(reply.as_bytes()).await;
            }
        });
        Self { issuer, asked, rsa, ec, ed, _scope: scope }
    }

    pub fn issuer(&self) -> String {
        self.issuer.clone()
    }

    /// How many questions it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn claims(&self, subject: &str, audience: &str) -> Value {
        j!({"iss": self.issuer, "sub": subject, "aud": audience, "exp": in_an_hour()})
    }

    pub fn sign(&self, algorithm: &str, claims: &Value) -> String {
        let kid = match algorithm {
            "RS256" => "rs",
            "ES256" => "es",
            _ => "ed",
        };
        self.sign_as(algorithm, kid, claims)
    }

    /// With any name for the key.
    pub fn sign_as(&self, algorithm: &str, kid: &str, claims: &Value) -> String {
        let text = message(&j!({"alg": algorithm, "kid": kid}), claims);
        let random = SystemRandom::new();
        let signature = match algorithm {
            "RS256" => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
                signature
            }
            "ES256" => self.ec.sign(&random, text.as_bytes()).unwrap().as_ref().to_vec(),
            _ => self.ed.sign(text.as_bytes()).as_ref().to_vec(),
        };
        format!("{text}.{}", encoded(signature))
    }

    pub fn unsigned(&self, claims: &Value) -> String {
        format!("{}.", message(&j!({"alg": "none", "kid": "ed"}), claims))
    }

    /// The old trick: what everybody knows, used as a shared secret.
    pub fn with_public_key_as_secret(&self, claims: &Value) -> String {
        let text = message(&j!({"alg": "HS256", "kid": "ed"}), claims);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.ed.public_key().as_ref());
        format!("{text}.{}", encoded(ring::hmac::sign(&key, text.as_bytes())))
    }
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()))
}
