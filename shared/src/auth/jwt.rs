//! JSON Web Tokens of the operator's issuer: what a token must be before anything in it counts.
//!
//! # Theory of operation
//! Only what the operator has set decides how a token is verified: one algorithm, one issuer, one audience. A token's
//! header names nothing but the key, by its `kid`; its `alg` must be the one that is set, and keys of another type than
//! that algorithm's are not even kept, so a public key can never be taken for the secret of an HMAC. A `jwk`, `jku` or
//! `x5u` in the header is not looked at, and a header with `crit` is refused, because no extension is understood here.
//!
//! The order is: size, form, header, signature, claims. Nothing of the claims is believed, or even read, before the
//! signature is found to be good. Base64 is read strictly, so that a token has one spelling.
//!
//! This is all arithmetic: no clock but the moment that is handed in, no network. [`super::oidc`] brings the keys.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Permission, Tenant};
use crate::config::OidcConfig;

/// The longest token that is looked at.
const LONGEST: usize = 8 * 1024;
/// How far the issuer's clock may be ahead.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);
/// The longest name of a user or a client.
const LONGEST_NAME: usize = 256;

/// A way of signing tokens, by its name in JSON Web Algorithms. There is none without a signature and none with a
/// shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, keys of 2048 to 8192 bits.
    Rs256,
    /// RSASSA-PSS with SHA-256, keys of 2048 to 8192 bits.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl SigningAlgorithm {
    const ALL: [Self; 4] = [Self::Rs256, Self::Ps256, Self::Es256, Self::EdDsa];

    /// The name, as `alg` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of exactly this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Why a token is not taken. It says nothing of what is in the token, so it may be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it is longer than 8,192 characters")]
    TooLong,
    #[error("it is not three parts in strict base64url, or a part is not a JSON object")]
    Malformed,
    #[error("its algorithm is not the one that is set")]
    Algorithm,
    #[error("its type is neither JWT nor at+jwt")]
    Type,
    #[error("it demands an extension (crit)")]
    Critical,
    #[error("it names no key (kid)")]
    NoKey,
    #[error("the issuer has no such key")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it is another issuer's")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("it has no end (exp), or one that is no time")]
    NoEnd,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet (nbf or iat)")]
    NotYet,
    #[error("the claim that names the tenant is missing, or names none")]
    Tenant,
    #[error("the claim that names the user is missing, or is no name")]
    User,
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    pub(super) tenant: Tenant,
    pub(super) user: String,
    /// The known ones among those listed.
    pub(super) permissions: Vec<Permission>,
    /// The client that it was issued to: `azp`, or `client_id`.
    pub(super) client_id: Option<String>,
    pub(super) issued_at: Option<Timestamp>,
    pub(super) expires_at: Timestamp,
}

/// A token that has the right form and header. Nothing in it counts yet.
pub(super) struct Unverified<'a> {
    kid: String,
    signed: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

/// What is read of a header; a member that is there twice is an error. Whatever else is in it has no say.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// True for a member that is there, whatever it is.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'a> Unverified<'a> {
    /// Reads a token's form and header.
    pub(super) fn parse(text: &'a str, algorithm: SigningAlgorithm) -> Result<Self, Refusal> {
        if text.len() > LONGEST {
            return Err(Refusal::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) =
            signed.split_once('.').filter(|(_, rest)| !rest.contains('.')).ok_or(Refusal::Malformed)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::Malformed)?;
        let header: Header = object(header)?;
        if header.alg != algorithm.name() {
            return Err(Refusal::Algorithm);
        }
        if header.crit {
            return Err(Refusal::Critical);
        }
        // Some issuers leave it out. A token of another kind (one for logging out) names its kind.
        let types = ["jwt", "at+jwt", "application/at+jwt"];
        if header.typ.is_some_and(|typ| !types.contains(&typ.to_ascii_lowercase().as_str())) {
            return Err(Refusal::Type);
        }
        let kid = header.kid.ok_or(Refusal::NoKey)?;
        Ok(Self { kid, signed, claims, signature })
    }

    /// The name of the key that is said to have signed it.
    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    /// What it says, if one of these keys has signed it and its claims are as they must be at `now`.
    pub(super) fn verify(self, keys: &KeySet, config: &OidcConfig, now: Timestamp) -> Result<Verified, Refusal> {
        let mut named = keys.named(&self.kid).peekable();
        if named.peek().is_none() {
            return Err(Refusal::UnknownKey);
        }
        if !named.any(|key| key.has_signed(self.signed.as_bytes(), &self.signature)) {
            return Err(Refusal::Signature);
        }
        read_claims(&object(self.claims)?, config, now)
    }
}

/// A part of a token as JSON.
fn object<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Refusal::Malformed)
}

fn read_claims(claims: &Map<String, Value>, config: &OidcConfig, now: Timestamp) -> Result<Verified, Refusal> {
    if claims.get("iss").and_then(Value::as_str) != Some(&config.issuer) {
        return Err(Refusal::Issuer);
    }
    let for_us = match claims.get("aud") {
        Some(Value::String(audience)) => *audience == config.audience,
        Some(Value::Array(audiences)) => audiences.iter().any(|audience| audience.as_str() == Some(&config.audience)),
        _ => false,
    };
    if !for_us {
        return Err(Refusal::Audience);
    }
    let expires_at = claims.get("exp").and_then(moment).ok_or(Refusal::NoEnd)?;
    if expires_at <= now {
        return Err(Refusal::Expired);
    }
    let latest = now.saturating_add(LEEWAY).unwrap_or(now);
    for claim in ["nbf", "iat"].into_iter().filter_map(|name| claims.get(name)) {
        if moment(claim).is_none_or(|at| latest < at) {
            return Err(Refusal::NotYet);
        }
    }
    let tenant = claims.get(&config.tenant_claim).and_then(Value::as_str).and_then(Tenant::parse);
    Ok(Verified {
        tenant: tenant.ok_or(Refusal::Tenant)?,
        user: claims.get(&config.user_claim).and_then(name).ok_or(Refusal::User)?,
        permissions: permissions(claims.get(&config.permissions_claim)),
        client_id: client(claims),
        issued_at: claims.get("iat").and_then(moment),
        expires_at,
    })
}

/// Seconds since 1970, with or without decimals.
fn moment(claim: &Value) -> Option<Timestamp> {
    let seconds = claim.as_f64().filter(|seconds| seconds.is_finite())?;
    let duration = SignedDuration::try_from_secs_f64(seconds).ok()?;
    Timestamp::from_duration(duration).ok()
}

fn name(claim: &Value) -> Option<String> {
    let text = claim.as_str()?;
    let fits = !text.trim().is_empty() && text.len() <= LONGEST_NAME && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

/// A list of names, or names with spaces between, as `scope` has them. Names that are not ours mean nothing here.
fn permissions(claim: Option<&Value>) -> Vec<Permission> {
    let mut permissions: Vec<Permission> = match claim {
        Some(Value::String(text)) => text.split_ascii_whitespace().filter_map(Permission::named).collect(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).filter_map(Permission::named).collect(),
        _ => Vec::new(),
    };
    permissions.sort();
    permissions.dedup();
    permissions
}

/// Issuers name the client in one of two claims. One that names two different ones names none.
fn client(claims: &Map<String, Value>) -> Option<String> {
    let named = |claim| claims.get(claim).and_then(name);
    match (named("azp"), named("client_id")) {
        (Some(one), Some(other)) => (one == other).then_some(one),
        (one, other) => one.or(other),
    }
}

/// The keys of an issuer that fit the algorithm.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<(String, Key)>);

/// A JSON Web Key Set.
#[derive(Deserialize)]
pub(super) struct JsonKeySet {
    keys: Vec<Value>,
}

/// What is read of a JSON Web Key.
#[derive(Deserialize)]
struct JsonKey {
    kty: String,
    kid: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// The keys that are for verifying signatures of this algorithm. Others, and those that cannot be read, are left out:
    /// an issuer publishes keys for other purposes too.
    pub(super) fn of(set: &JsonKeySet, algorithm: SigningAlgorithm) -> Self {
        let keys = set.keys.iter().filter_map(|key| {
            let key = JsonKey::deserialize(key).ok()?;
            Some((key.kid.clone(), Key::of(&key, algorithm)?))
        });
        Self(keys.collect())
    }

    /// The keys of this name: one, unless the issuer is careless.
    fn named(&self, kid: &str) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |(name, _)| name == kid).map(|(_, key)| key)
    }

    /// True if there is a key of this name.
    pub(super) fn has(&self, kid: &str) -> bool {
        self.named(kid).next().is_some()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A public key, with the one thing that it is used for.
#[derive(Debug)]
enum Key {
    Rsa { parameters: &'static RsaParameters, key: RsaPublicKeyComponents<Vec<u8>> },
    Curve { algorithm: &'static dyn VerificationAlgorithm, point: Vec<u8> },
}

impl Key {
    fn of(key: &JsonKey, algorithm: SigningAlgorithm) -> Option<Self> {
        let for_signatures = key.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && key.key_ops.as_ref().is_none_or(|uses| uses.iter().any(|one| one == "verify"))
            && key.alg.as_deref().is_none_or(|name| name == algorithm.name());
        if !for_signatures {
            return None;
        }
        let bytes = |member: &Option<String>| URL_SAFE_NO_PAD.decode(member.as_deref()?).ok();
        let coordinate = |member: &Option<String>| bytes(member).filter(|bytes| bytes.len() == 32);
        // Some issuers put a zero before the number, which the library takes for a mistake.
        let number =
            |member: &Option<String>| bytes(member).map(|it| it.into_iter().skip_while(|byte| *byte == 0).collect());
        let rsa = |parameters| {
            let key = RsaPublicKeyComponents { n: number(&key.n)?, e: number(&key.e)? };
            Some(Self::Rsa { parameters, key })
        };
        match (algorithm, key.kty.as_str(), key.crv.as_deref()) {
            (SigningAlgorithm::Rs256, "RSA", _) => rsa(&RSA_PKCS1_2048_8192_SHA256),
            (SigningAlgorithm::Ps256, "RSA", _) => rsa(&RSA_PSS_2048_8192_SHA256),
            (SigningAlgorithm::Es256, "EC", Some("P-256")) => {
                let point = [vec![4], coordinate(&key.x)?, coordinate(&key.y)?].concat();
                Some(Self::Curve { algorithm: &ECDSA_P256_SHA256_FIXED, point })
            }
            (SigningAlgorithm::EdDsa, "OKP", Some("Ed25519")) => {
                Some(Self::Curve { algorithm: &ED25519, point: coordinate(&key.x)? })
            }
            _ => None,
        }
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { parameters, key } => key.verify(parameters, message, signature).is_ok(),
            Self::Curve { algorithm, point } => {
                UnparsedPublicKey::new(*algorithm, point).verify(message, signature).is_ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_780_000_000;

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    fn config() -> OidcConfig {
        OidcConfig { algorithm: SigningAlgorithm::Es256, ..OidcConfig::new("https://id.example.com", "causeway") }
    }

    struct Signer(EcdsaKeyPair);

    impl Signer {
        fn new() -> Self {
            Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
        }

        fn jwk(&self) -> Value {
            let point = self.0.public_key().as_ref();
            let coordinate = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
            json!({ "kty": "EC", "crv": "P-256", "kid": "one", "x": coordinate(1..33), "y": coordinate(33..65) })
        }

        fn keys(&self) -> KeySet {
            KeySet::of(&JsonKeySet { keys: vec![self.jwk()] }, SigningAlgorithm::Es256)
        }

        fn sign(&self, header: &str, claims: &str) -> String {
            let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn claims() -> Value {
        json!({
            "iss": "https://id.example.com", "aud": ["other", "causeway"], "exp": NOW + 300, "iat": NOW, "nbf": NOW,
            "sub": "user_1", "tenant": "acme", "permissions": ["keys:read", "paint:walls", "keys:read"],
        })
    }

    const HEADER: &str = r#"{"alg":"ES256","kid":"one","typ":"at+jwt"}"#;

    fn verify(token: &str, keys: &KeySet) -> Result<Verified, Refusal> {
        Unverified::parse(token, SigningAlgorithm::Es256)?.verify(keys, &config(), now())
    }

    fn with(name: &str, value: Value) -> String {
        let mut claims = claims();
        claims[name] = value;
        claims.to_string()
    }

    fn without(name: &str) -> String {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims.to_string()
    }

    #[test]
    fn a_good_token_says_who_asks() {
        let signer = Signer::new();
        let verified = verify(&signer.sign(HEADER, &claims().to_string()), &signer.keys()).unwrap();
        assert_eq!((verified.tenant.as_str(), verified.user.as_str()), ("acme", "user_1"));
        assert_eq!(verified.permissions, [Permission::KeysRead]);
        assert_eq!(verified.expires_at.as_second(), NOW + 300);
        assert_eq!(verified.client_id, None);
        for (claim, value, client) in [
            ("azp", json!("web"), Some("web")),
            ("client_id", json!("web"), Some("web")),
            ("azp", json!(7), None),
            ("azp", json!(""), None),
        ] {
            let verified = verify(&signer.sign(HEADER, &with(claim, value)), &signer.keys()).unwrap();
            assert_eq!(verified.client_id.as_deref(), client, "{claim}");
        }
        let two = json!({ "azp": "web", "client_id": "other" });
        assert_eq!(client(two.as_object().unwrap()), None);
    }

    #[test]
    fn permissions_are_a_list_or_words() {
        let both = [Permission::KeysRead, Permission::VaultsSync];
        assert_eq!(permissions(Some(&json!("openid vaults:sync  keys:read"))), both);
        assert_eq!(permissions(Some(&json!(["vaults:sync", 1, "keys:read", "KEYS:READ"]))), both);
        for nothing in [json!(null), json!({ "keys:read": true }), json!("keys:read,vaults:sync")] {
            assert_eq!(permissions(Some(&nothing)), [], "{nothing}");
        }
        assert_eq!(permissions(None), []);
    }

    #[test]
    fn each_claim_is_checked() {
        let signer = Signer::new();
        let expected = [
            (without("iss"), Refusal::Issuer),
            (with("iss", json!("https://id.example.com/")), Refusal::Issuer),
            (with("iss", json!(["https://id.example.com"])), Refusal::Issuer),
            (without("aud"), Refusal::Audience),
            (with("aud", json!("causeway2")), Refusal::Audience),
            (with("aud", json!([])), Refusal::Audience),
            (without("exp"), Refusal::NoEnd),
            (with("exp", json!("soon")), Refusal::NoEnd),
            (with("exp", json!(1e300)), Refusal::NoEnd),
            (with("exp", json!(NOW)), Refusal::Expired),
            (with("exp", json!(-1)), Refusal::Expired),
            (with("nbf", json!(NOW + 61)), Refusal::NotYet),
            (with("nbf", json!("now")), Refusal::NotYet),
            (with("iat", json!(NOW + 61)), Refusal::NotYet),
            (without("tenant"), Refusal::Tenant),
            (with("tenant", json!("acme#globex")), Refusal::Tenant),
            (with("tenant", json!("acme/globex")), Refusal::Tenant),
            (with("tenant", json!("operator")), Refusal::Tenant),
            (with("tenant", json!(["acme"])), Refusal::Tenant),
            (without("sub"), Refusal::User),
            (with("sub", json!(" ")), Refusal::User),
            (with("sub", json!("a\nb")), Refusal::User),
            (with("sub", json!("x".repeat(257))), Refusal::User),
            ("[]".into(), Refusal::Malformed),
            ("{".into(), Refusal::Malformed),
        ];
        for (claims, refusal) in expected {
            assert_eq!(verify(&signer.sign(HEADER, &claims), &signer.keys()), Err(refusal), "{claims}");
        }
        for claims in [with("nbf", json!(NOW + 60)), with("exp", json!(NOW as f64 + 0.5)), without("iat")] {
            assert!(verify(&signer.sign(HEADER, &claims), &signer.keys()).is_ok(), "{claims}");
        }
    }

    #[test]
    fn each_part_of_the_header_is_checked() {
        let signer = Signer::new();
        let expected = [
            (r#"{"kid":"one"}"#, Refusal::Malformed),
            (r#"{"alg":"none","kid":"one"}"#, Refusal::Algorithm),
            (r#"{"alg":"HS256","kid":"one"}"#, Refusal::Algorithm),
            (r#"{"alg":"es256","kid":"one"}"#, Refusal::Algorithm),
            (r#"{"alg":"RS256","kid":"one"}"#, Refusal::Algorithm),
            (r#"{"alg":["ES256"],"kid":"one"}"#, Refusal::Malformed),
            (r#"{"alg":"none","alg":"ES256","kid":"one"}"#, Refusal::Malformed),
            (r#"{"alg":"ES256"}"#, Refusal::NoKey),
            (r#"{"alg":"ES256","kid":"two"}"#, Refusal::UnknownKey),
            (r#"{"alg":"ES256","kid":"one","typ":"logout+jwt"}"#, Refusal::Type),
            (r#"{"alg":"ES256","kid":"one","crit":["b64"],"b64":false}"#, Refusal::Critical),
            (r#"{"alg":"ES256","kid":"one","crit":null}"#, Refusal::Critical),
            ("[]", Refusal::Malformed),
        ];
        for (header, refusal) in expected {
            let token = signer.sign(header, &claims().to_string());
            assert_eq!(verify(&token, &signer.keys()), Err(refusal), "{header}");
        }
        // A key that comes along with a token has no say.
        let other = Signer::new();
        let header = json!({ "alg": "ES256", "kid": "one", "jwk": other.jwk(), "jku": "https://evil.example" });
        let token = other.sign(&header.to_string(), &claims().to_string());
        assert_eq!(verify(&token, &signer.keys()), Err(Refusal::Signature));
        for header in [r#"{"alg":"ES256","kid":"one"}"#, r#"{"alg":"ES256","kid":"one","typ":"JWT"}"#] {
            assert!(verify(&signer.sign(header, &claims().to_string()), &signer.keys()).is_ok(), "{header}");
        }
    }

    #[test]
    fn a_token_has_three_parts_and_one_spelling() {
        let signer = Signer::new();
        let good = signer.sign(HEADER, &claims().to_string());
        let parts: Vec<&str> = good.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{good}") };
        for malformed in [
            String::new(),
            "..".into(),
            format!("{header}.{claims}"),
            format!("{good}.{signature}"),
            format!("{good}="),
            format!(" {good}"),
            format!("{header}.{claims}.{}", signature.replace(['-', '_'], "+")) + "+",
        ] {
            assert_eq!(verify(&malformed, &signer.keys()), Err(Refusal::Malformed), "{malformed}");
        }
        let unsigned = format!("{header}.{claims}.");
        assert_eq!(verify(&unsigned, &signer.keys()), Err(Refusal::Signature));
        let long = signer.sign(HEADER, &with("padding", json!("x".repeat(LONGEST))));
        assert_eq!(verify(&long, &signer.keys()), Err(Refusal::TooLong));
    }

    #[test]
    fn only_keys_that_fit_are_kept() {
        let jwk = Signer::new().jwk();
        let with = |name: &str, value: Value| {
            let mut key = jwk.clone();
            key[name] = value;
            key
        };
        let kept = |key: Value, algorithm| KeySet::of(&JsonKeySet { keys: vec![key] }, algorithm).len();
        assert_eq!(kept(jwk.clone(), SigningAlgorithm::Es256), 1);
        for algorithm in [SigningAlgorithm::Rs256, SigningAlgorithm::Ps256, SigningAlgorithm::EdDsa] {
            assert_eq!(kept(jwk.clone(), algorithm), 0, "{algorithm:?}");
        }
        for key in [
            with("use", json!("enc")),
            with("key_ops", json!(["sign"])),
            with("alg", json!("ES384")),
            with("crv", json!("P-384")),
            with("x", json!("AA")),
            with("kid", Value::Null),
            json!({ "kty": "oct", "kid": "one", "k": "c2VjcmV0" }),
            json!("text"),
        ] {
            assert_eq!(kept(key.clone(), SigningAlgorithm::Es256), 0, "{key}");
        }
    }

    proptest! {
        #[test]
        fn a_token_that_was_changed_anywhere_is_refused(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9._=+/ -]") {
            let signer = Signer::new();
            let mut token = signer.sign(HEADER, &claims().to_string()).into_bytes();
            let at = at.index(token.len());
            prop_assume!(token[at] != to.as_bytes()[0]);
            token[at] = to.as_bytes()[0];
            prop_assert!(verify(std::str::from_utf8(&token).unwrap(), &signer.keys()).is_err());
        }

        #[test]
        fn a_token_that_was_cut_lengthened_or_spliced_is_refused(
            at in any::<prop::sample::Index>(), length in 1_usize..20, inserted in "[A-Za-z0-9._-]{1,20}",
        ) {
            let signer = Signer::new();
            let good = signer.sign(HEADER, &claims().to_string());
            let at = at.index(good.len());
            let end = (at + length).min(good.len());
            let cut = format!("{}{}", &good[..at], &good[end..]);
            let longer = format!("{}{inserted}{}", &good[..at], &good[at..]);
            let other = signer.sign(HEADER, &with("tenant", json!("globex")));
            let spliced = format!("{}.{}", good.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1);
            for token in [cut, longer, spliced] {
                prop_assert!(verify(&token, &signer.keys()).is_err(), "{}", token);
            }
        }

        #[test]
        fn whatever_is_shown_is_refused_without_a_panic(text in ".{0,200}", header in ".{0,60}", claims in ".{0,60}") {
            let signer = Signer::new();
            prop_assert!(verify(&text, &signer.keys()).is_err());
            prop_assert!(verify(&signer.sign(&header, &claims), &signer.keys()).is_err());
            prop_assert!(verify(&signer.sign(HEADER, &claims), &signer.keys()).is_err());
        }
    }
}
