//! Addresses: 32 bytes in base58, which a private key may belong to or not.

use alloy_primitives::U256;

/// Parses an address, without a word about the text itself: people paste private keys.
///
/// # Errors
/// What is wrong with it, to stand behind the field's name.
pub(super) fn parse_address(text: &str) -> Result<[u8; 32], &'static str> {
    const WRONG: &str = "is not a Solana address, or is mistyped: 32 to 44 letters and digits, 32 bytes in base58";
    let bytes = bs58::decode(text).into_vec().map_err(|_| WRONG)?;
    if bytes.len() == 64 {
        return Err(
            "is no address but a transaction's signature or a PRIVATE key, which nobody should ever be given. \
                    Nothing of it was kept. Give the wallet's address",
        );
    }
    bytes.try_into().map_err(|_| WRONG)
}

/// True if a private key may belong to an address: if its bytes are a point of edwards25519. They are its y; there is an x
/// if (y² - 1) / (d·y² + 1) is a square, where d is -121665/121666 (RFC 8032, section 5.1.3). By Euler's criterion a
/// number is a square if its power with (p - 1) / 2 is not -1, and a quotient is one if the product is.
pub(super) fn is_on_curve(mut bytes: [u8; 32]) -> bool {
    let one = U256::from(1);
    let prime = (one << 255) - U256::from(19);
    let (top, below) = (U256::from(121_666), U256::from(121_665));
    let [.., last] = &mut bytes;
    *last &= 0x7f;
    let y = U256::from_le_bytes(bytes).reduce_mod(prime);
    let square = y.mul_mod(y, prime);
    let numerator = square.add_mod(prime - one, prime);
    let denominator = top.add_mod(prime - below.mul_mod(square, prime), prime);
    let product = numerator.mul_mod(denominator, prime).mul_mod(top, prime);
    product.pow_mod((prime - one) >> 1, prime) <= one
}
