//! What exchanges sign requests with.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

/// The hash under an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

/// The HMAC of `message` under the bytes of `secret` as it is written.
#[must_use]
pub fn hmac(hash: Hash, secret: &SecretString, message: &[u8]) -> Vec<u8> {
    hmac_with(hash, secret.expose_secret().as_bytes(), message)
}

/// The HMAC of `message` under a key of bytes.
#[must_use]
pub fn hmac_with(hash: Hash, key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hash.hmac(), key), message).as_ref().to_vec()
}

/// The bytes that a secret spells in base64.
#[must_use]
pub fn decoded(secret: &SecretString) -> Option<Vec<u8>> {
    STANDARD.decode(secret.expose_secret().trim()).ok()
}

/// SHA-256.
#[must_use]
pub fn sha256(message: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, message).as_ref().to_vec()
}

/// Base64 with padding.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use shared::digest::hex;

    use super::*;

    /// The example of Binance's documentation.
    #[test]
    fn a_documented_signature_comes_out() {
        let secret = SecretString::from("NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j");
        let query = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559";
        assert_eq!(
            hex(&hmac(Hash::Sha256, &secret, query.as_bytes())),
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
        );
    }

    /// The example of Kraken's documentation.
    #[test]
    fn a_documented_signature_over_a_hash_comes_out() {
        let secret = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==";
        let key = decoded(&SecretString::from(secret)).unwrap();
        let body = "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25";
        let mut message = b"/0/private/AddOrder".to_vec();
        message.extend(sha256(format!("1616492376594{body}").as_bytes()));
        assert_eq!(
            base64(&hmac_with(Hash::Sha512, &key, &message)),
            "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
        );
    }
}
