//! One thing that happened in a wallet, as its provider tells it.

use std::fmt;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::taxonomy::names;

names! {
    /// What kind of thing happened.
    RecordKind {
        /// One asset bought or sold for another on a market.
        Trade = "trade";
        /// Something came in from outside.
        Deposit = "deposit";
        /// Something went out.
        Withdrawal = "withdrawal";
        /// One asset turned into another without a market.
        Conversion = "conversion";
        /// Interest, staking, an airdrop, a referral.
        Reward = "reward";
        /// A fee by itself.
        Fee = "fee";
        /// A chain's own coin moved.
        Transfer = "transfer";
        /// A chain's own coin moved by a contract, within another transaction.
        InternalTransfer = "internal_transfer";
        /// A token moved.
        TokenTransfer = "token_transfer";
        /// A non-fungible token moved.
        NftTransfer = "nft_transfer";
        /// A contract was called and no coin moved.
        ContractCall = "contract_call";
        /// An entry of an account's ledger that is none of the others.
        Ledger = "ledger";
        /// Something else.
        Other = "other";
    }
}

/// One thing that happened. `kind` and `provider_id` together are its identity within a wallet: it is stored once, however
/// often it is delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What kind of thing.
    pub kind: RecordKind,
    /// The provider's own name for it: at most 512 bytes. Where a wallet spans several chains it starts with the chain.
    pub provider_id: String,
    /// When it happened.
    pub time: Timestamp,
    /// What went out, without the fee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Amount>,
    /// What came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Amount>,
    /// What it cost the wallet's owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee: Option<Amount>,
    /// The transaction on its chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_hash: Option<String>,
}

impl Record {
    /// A record of which no more is known yet.
    #[must_use]
    pub fn new(kind: RecordKind, provider_id: impl Into<String>, time: Timestamp) -> Self {
        Self { kind, provider_id: provider_id.into(), time, sent: None, received: None, fee: None, tx_hash: None }
    }
}

/// So much of an asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Amount {
    /// How much; never negative.
    #[schema(value_type = String)]
    pub quantity: Quantity,
    /// The asset's symbol as the provider writes it, such as `BTC`.
    pub asset: String,
}

impl Amount {
    /// So much of an asset; `None` if it is nothing. The sign is left out.
    #[must_use]
    pub fn of(quantity: Quantity, asset: impl Into<String>) -> Option<Self> {
        (!quantity.is_zero()).then(|| Self { quantity: quantity.abs(), asset: asset.into() })
    }
}

/// A decimal number of any length, in one spelling: no exponent, no needless zeros, `-` but no `+`. Coins of eighteen
/// decimals do not fit into machine numbers, so it is text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity(String);

/// More digits than any coin needs; an exponent must not blow a number up.
const LONGEST: usize = 120;

impl Quantity {
    /// Parses a decimal number, with or without an exponent.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, unsigned) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let decimals = i64::try_from(fraction.len()).ok()? - i64::from(exponent);
        Self::of_parts(negative, &digits, decimals)
    }

    /// `units` of the smallest part of an asset that has so many decimals: satoshis with 8.
    #[must_use]
    pub fn of_units(units: i128, decimals: u32) -> Self {
        let digits = units.unsigned_abs().to_string();
        Self::of_parts(units < 0, &digits, i64::from(decimals)).unwrap_or_else(Self::zero)
    }

    /// The same for a number of any length, as text of digits: wei with 18.
    #[must_use]
    pub fn of_digits(digits: &str, decimals: u32) -> Option<Self> {
        let fits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if fits { Self::of_parts(false, digits, i64::from(decimals)) } else { None }
    }

    fn of_parts(negative: bool, digits: &str, decimals: i64) -> Option<Self> {
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Some(Self::zero());
        }
        if digits.len() > LONGEST || decimals.unsigned_abs() > LONGEST as u64 {
            return None;
        }
        let mut text = digits.to_owned();
        match usize::try_from(decimals) {
            Ok(decimals) => {
                if text.len() <= decimals {
                    text.insert_str(0, &"0".repeat(decimals - text.len() + 1));
                }
                text.insert(text.len() - decimals, '.');
                let kept = text.trim_end_matches('0').trim_end_matches('.').len();
                text.truncate(kept);
            }
            Err(_) => text.extend(std::iter::repeat_n('0', usize::try_from(-decimals).ok()?)),
        }
        if negative {
            text.insert(0, '-');
        }
        Some(Self(text))
    }

    /// Nothing.
    #[must_use]
    pub fn zero() -> Self {
        Self("0".into())
    }

    /// True for nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0 == "0"
    }

    /// True below nothing.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.0.starts_with('-')
    }

    /// Without its sign.
    #[must_use]
    pub fn abs(&self) -> Self {
        Self(self.0.trim_start_matches('-').to_owned())
    }

    /// As a number to reckon with: up to 28 digits, which is enough for every exchange.
    #[must_use]
    pub fn decimal(&self) -> Option<Decimal> {
        Decimal::from_str_exact(&self.0).ok()
    }

    /// The number as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Decimal> for Quantity {
    fn from(decimal: Decimal) -> Self {
        Self::parse(&decimal.to_string()).unwrap_or_else(Self::zero)
    }
}

impl TryFrom<String> for Quantity {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a decimal number")
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Option<String> {
        Quantity::parse(text).map(String::from)
    }

    #[test]
    fn numbers_have_one_spelling() {
        for (text, expected) in [
            ("0", "0"),
            ("-0.00", "0"),
            ("1.50", "1.5"),
            ("+01", "1"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e-8", "0.00000001"),
            ("1.5E+3", "1500"),
            ("-12.3400e1", "-123.4"),
            (
                "115792089237316195423570985008687907853269984665640564039457584007913129639935",
                "115792089237316195423570985008687907853269984665640564039457584007913129639935",
            ),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "-", ".", "1,000", "0x1", "1e", "1e1.5", "NaN", "1 2", "1e9999", "--1"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn units_are_shifted() {
        assert_eq!(Quantity::of_units(-123, 8).as_str(), "-0.00000123");
        assert_eq!(Quantity::of_units(100_000_000, 8).as_str(), "1");
        assert_eq!(Quantity::of_digits("1000000000000000001", 18).unwrap().as_str(), "1.000000000000000001");
        assert_eq!(Quantity::of_digits("-1", 18), None);
        assert_eq!(Quantity::of_digits("7", 0).unwrap().as_str(), "7");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(units in any::<i128>(), decimals in 0u32..40) {
            let quantity = Quantity::of_units(units, decimals);
            prop_assert_eq!(Quantity::parse(quantity.as_str()), Some(quantity.clone()));
            prop_assert_eq!(quantity.is_negative(), units < 0);
        }

        #[test]
        fn anything_else_is_refused_without_a_panic(text in ".{0,40}") {
            let _ = Quantity::parse(&text);
        }
    }
}
