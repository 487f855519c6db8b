//! What is known of a value without knowing it.
//!
//! A fingerprint is an HMAC-SHA-256 under the stack's own key, over the tenant, the place and the name as well, so that it
//! tells nothing to who cannot ask for one: a bare hash of a short value could be guessed, and equal values in two places
//! would show.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use shared::credentials::disclose;

/// What is known of a value without knowing it. Two of the same place and name are equal if and only if the values are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fingerprint(String);

/// Makes fingerprints for one place: a tenant's project and environment.
#[derive(Debug, Clone)]
pub struct Fingerprints {
    key: hmac::Key,
    scope: Vec<u8>,
}

impl Fingerprints {
    /// For values in the place that `scope` names, under `key`.
    #[must_use]
    pub fn new(key: &hmac::Key, scope: &[&str]) -> Self {
        let mut framed = Vec::new();
        scope.iter().for_each(|part| frame(&mut framed, part.as_bytes()));
        Self { key: key.clone(), scope: framed }
    }

    /// The fingerprint of `value` under `name`.
    #[must_use]
    pub fn of(&self, name: &str, value: &SecretString) -> Fingerprint {
        let mut message = self.scope.clone();
        frame(&mut message, name.as_bytes());
        frame(&mut message, disclose(value).as_bytes());
        let tag = hmac::sign(&self.key, &message);
        message.fill(0);
        Fingerprint(URL_SAFE_NO_PAD.encode(tag))
    }
}

/// Adds a part with its length before it, so that no two lists of parts look alike.
fn frame(framed: &mut Vec<u8>, part: &[u8]) {
    framed.extend_from_slice(&(part.len() as u64).to_be_bytes());
    framed.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprints(key: &[u8], scope: &[&str]) -> Fingerprints {
        Fingerprints::new(&hmac::Key::new(hmac::HMAC_SHA256, key), scope)
    }

    #[test]
    fn a_fingerprint_depends_on_the_key_the_place_the_name_and_the_value() {
        let value = SecretString::from("hunter2");
        let of =
            |key: &[u8], scope: &[&str], name: &str, value: &SecretString| fingerprints(key, scope).of(name, value);
        let one = of(b"key", &["acme", "prj"], "A", &value);
        assert_eq!(one, of(b"key", &["acme", "prj"], "A", &value));
        for other in [
            of(b"another", &["acme", "prj"], "A", &value),
            of(b"key", &["globex", "prj"], "A", &value),
            of(b"key", &["acmep", "rj"], "A", &value),
            of(b"key", &["acme", "prj"], "B", &value),
            of(b"key", &["acme", "prj"], "A", &SecretString::from("hunter3")),
            of(b"key", &["acme", "prj"], "Ah", &SecretString::from("unter2")),
        ] {
            assert_ne!(one, other);
        }
    }
}
