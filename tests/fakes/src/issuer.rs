//! An OpenID Connect issuer: discovery, a set of keys that rotates, and tokens signed with any of them, well or badly.
//!
//! Keys are generated when they are added. A token is put together by the caller, header and claims, so that everything
//! that can be wrong with one can be tried; [`Key::header`] is an ordinary one's. What is asked of it is counted by its
//! [`Host`], whose faults make it fall silent.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};

use crate::host::Host;
use crate::wire;

/// Where every issuer's discovery document is.
pub const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Where this one's keys are.
pub const KEYS: &str = "/keys";

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Its name in a token's header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// A key pair of an issuer's.
#[derive(Clone, Debug)]
pub struct Key {
    kid: String,
    algorithm: Algorithm,
    pair: Arc<Pair>,
}

#[derive(Debug)]
enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Making an RSA key takes long, so those of a process are made once: as many as a test can tell apart.
static RSA: [OnceLock<Arc<Pair>>; 2] = [const { OnceLock::new() }; 2];

fn broken<E: std::fmt::Debug>(what: &'static str) -> impl FnOnce(E) -> io::Error {
    move |error| io::Error::other(format!("{what}: {error:?}"))
}

impl Key {
    /// A new key of this name. Every second RSA key of a process, by `number`, is the same one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn generate(kid: &str, algorithm: Algorithm, number: usize) -> io::Result<Self> {
        let failed = "a key could not be made";
        let pair = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => {
                let kept = if number.is_multiple_of(2) { &RSA[0] } else { &RSA[1] };
                match kept.get() {
                    Some(pair) => Arc::clone(pair),
                    None => {
                        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(broken(failed))?;
                        Arc::clone(kept.get_or_init(|| Arc::new(Pair::Rsa(pair))))
                    }
                }
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(broken(failed))?;
                Arc::new(Pair::P256(pair))
            }
            Algorithm::EdDsa => Arc::new(Pair::Ed25519(Ed25519KeyPair::generate().map_err(broken(failed))?)),
        };
        Ok(Self { kid: kid.to_owned(), algorithm, pair })
    }

    /// The public half, as the issuer publishes it.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match self.pair.as_ref() {
            Pair::Rsa(pair) => {
                // PKCS #1: a sequence of two integers. With 2,048 bits the modulus has always this place.
                let document = pair.public_key().as_ref();
                let (modulus, exponent) = (document.get(9..265), document.get(267..));
                json!({ "kty": "RSA", "n": modulus.map(encode), "e": exponent.map(encode) })
            }
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap_or_default().split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
            }
            Pair::Ed25519(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) }),
        };
        if let Some(jwk) = jwk.as_object_mut() {
            let rest = [("kid", self.kid.as_str()), ("use", "sig"), ("alg", self.algorithm.name())];
            jwk.extend(rest.map(|(name, value)| (name.to_owned(), Value::from(value))));
        }
        jwk
    }

    /// The header of an ordinary token.
    #[must_use]
    pub fn header(&self) -> Value {
        json!({ "alg": self.algorithm.name(), "kid": self.kid, "typ": "JWT" })
    }

    /// A token with this header and these claims, whatever they say, signed with this key.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self, header: &Value, claims: &Value) -> io::Result<String> {
        let failed = "a token could not be signed";
        let signed = signing_input(header, claims);
        let signature = match self.pair.as_ref() {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding = match self.algorithm {
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                let random = SystemRandom::new();
                pair.sign(padding, &random, signed.as_bytes(), &mut signature).map_err(broken(failed))?;
                signature
            }
            Pair::P256(pair) => {
                pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(broken(failed))?.as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// A token whose signature is an HMAC with the public key for its secret: what a verifier takes that lets the token
    /// choose the algorithm.
    #[must_use]
    pub fn sign_with_the_public_key(&self, header: &Value, claims: &Value) -> String {
        let signed = signing_input(header, claims);
        let secret = hmac::Key::new(hmac::HMAC_SHA256, self.jwk().to_string().as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&secret, signed.as_bytes())))
    }
}

/// The part of a token that is signed.
#[must_use]
pub fn signing_input(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// The issuer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its socket.
    pub host: Host,
    state: Arc<Mutex<Published>>,
}

#[derive(Debug, Default)]
struct Published {
    issuer: String,
    jwks_uri: String,
    keys: Vec<Key>,
    made: usize,
}

impl Issuer {
    /// Starts one without a key.
    pub async fn start() -> io::Result<Self> {
        let state = Arc::new(Mutex::new(Published::default()));
        let router = Router::new().route(DISCOVERY, get(discovery)).route(KEYS, get(keys));
        let host = Host::start(router.with_state(Arc::clone(&state))).await?;
        let issuer = Self { host, state };
        issuer.claim_to_be(&issuer.url());
        issuer.publish_keys_at(&format!("{}{KEYS}", issuer.url()));
        Ok(issuer)
    }

    /// Its name, as its tokens have it in `iss`.
    #[must_use]
    pub fn url(&self) -> String {
        self.host.origin()
    }

    /// Makes a key and publishes it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn add_key(&self, kid: &str, algorithm: Algorithm) -> io::Result<Key> {
        let mut state = self.state();
        let key = Key::generate(kid, algorithm, state.made)?;
        state.made += 1;
        state.keys.push(key.clone());
        Ok(key)
    }

    /// Publishes a key no more.
    pub fn remove_key(&self, kid: &str) {
        self.state().keys.retain(|key| key.kid != kid);
    }

    /// What its discovery document names as the issuer.
    pub fn claim_to_be(&self, issuer: &str) {
        self.state().issuer = issuer.to_owned();
    }

    /// Where its discovery document says that the keys are.
    pub fn publish_keys_at(&self, url: &str) {
        self.state().jwks_uri = url.to_owned();
    }

    /// How often its keys were asked for.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.host.calls(KEYS)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Published> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn discovery(State(state): State<Arc<Mutex<Published>>>) -> Response {
    let state = wire::lock(&state);
    let document = json!({
        "issuer": state.issuer,
        "jwks_uri": state.jwks_uri,
        "authorization_endpoint": format!("{}/authorize", state.issuer),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA"],
    });
    wire::json(StatusCode::OK, &document)
}

async fn keys(State(state): State<Arc<Mutex<Published>>>) -> Response {
    let state = wire::lock(&state);
    // As issuers do: a key that is for something else stands among the others.
    let encryption = json!({ "kty": "RSA", "kid": "for-encryption", "use": "enc", "n": "AQAB", "e": "AQAB" });
    let keys: Vec<Value> = state.keys.iter().map(Key::jwk).chain([encryption]).collect();
    wire::json(StatusCode::OK, &json!({ "keys": keys }))
}
