//! Values that an exchange writes now as a number, now as text.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::model::Quantity;

/// A number or a text; nothing else, such as null, is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loose(String);

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::String(text) => Self(text),
            Value::Number(number) => Self(number.to_string()),
            _ => Self::default(),
        })
    }
}

impl Loose {
    /// The value as text; empty if there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, if there is any.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.clone())
    }

    /// An amount.
    #[must_use]
    pub fn quantity(&self) -> Option<Quantity> {
        Quantity::parse(&self.0)
    }

    /// What so much comes to at this price.
    #[must_use]
    pub fn at_price(&self, price: &Self) -> Option<Quantity> {
        let (amount, price) = (self.quantity()?.decimal()?, price.quantity()?.decimal()?);
        amount.checked_mul(price).map(Quantity::from)
    }

    /// A whole number.
    #[must_use]
    pub fn whole(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// A time, as milliseconds since 1970.
    #[must_use]
    pub fn milliseconds(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.whole()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_the_same() {
        let row: Vec<Loose> = serde_json::from_str(r#"[1e-8, "0.00000001", 1780000000000, "x", null, [1]]"#).unwrap();
        assert_eq!(row[0].quantity(), row[1].quantity());
        assert_eq!(row[2].milliseconds(), Timestamp::from_second(1_780_000_000).ok());
        assert_eq!((row[3].text().as_deref(), row[3].quantity()), (Some("x"), None));
        assert_eq!((row[4].text(), row[5].as_str()), (None, ""));
        let sums: Vec<Loose> = serde_json::from_str(r#"["-0.3", 20000.5]"#).unwrap();
        assert_eq!(sums[0].at_price(&sums[1]), Quantity::parse("-6000.15"));
    }
}
