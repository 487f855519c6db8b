//! A secret's value in memory. Its `Debug` output is redacted, and its bytes are wiped when it is dropped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Row;
use rusqlite::types::{ToSql, ToSqlOutput};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::{Map, Value as Json};

use super::error::Error;

/// The most bytes a value may have.
const LIMIT: usize = 65_536;

/// `SecretString` of a request.
pub(super) struct Text(SecretString);

/// `SecretBinary` of a request, out of its base64.
pub(super) struct Binary(SecretSlice<u8>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let encoded = SecretString::from(String::deserialize(deserializer)?);
        match STANDARD.decode(encoded.expose_secret()) {
            Ok(bytes) => Ok(Self(bytes.into())),
            Err(_) => Err(D::Error::custom("not base64")),
        }
    }
}

/// The value of one version.
#[derive(Debug)]
pub(super) enum Value {
    Text(SecretString),
    Binary(SecretSlice<u8>),
}

impl Value {
    /// The value in a request, if it has one.
    pub(super) fn parse(text: Option<Text>, binary: Option<Binary>) -> Result<Option<Self>, Error> {
        let (member, value) = match (text, binary) {
            (None, None) => return Ok(None),
            (Some(Text(text)), None) => ("secretString", Self::Text(text)),
            (None, Some(Binary(bytes))) => ("secretBinary", Self::Binary(bytes)),
            (Some(_), Some(_)) => {
                return Err(Error::InvalidParameter(
                    "You can't specify both a binary secret value and a string secret value in the same secret."
                        .to_owned(),
                ));
            }
        };
        match value.bytes().len() {
            0 => Err(Self::missing()),
            1..=LIMIT => Ok(Some(value)),
            _ => Err(Error::constraint(member, &format!("have length less than or equal to {LIMIT}"))),
        }
    }

    /// The request had to carry a value and does not.
    pub(super) fn missing() -> Error {
        Error::InvalidRequest("You must provide either SecretString or SecretBinary.".to_owned())
    }

    /// The value in the columns `kind` and `value` of a row.
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(match row.get::<_, String>("kind")?.as_str() {
            "text" => Self::Text(row.get::<_, String>("value")?.into()),
            _ => Self::Binary(row.get::<_, Vec<u8>>("value")?.into()),
        })
    }

    /// What the column `kind` holds for this value.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Binary(_) => "binary",
        }
    }

    /// Adds the value to an answer, under the member it was given in.
    pub(super) fn write_into(&self, answer: &mut Map<String, Json>) {
        match self {
            Self::Text(text) => answer.insert("SecretString".to_owned(), text.expose_secret().into()),
            Self::Binary(bytes) => {
                answer.insert("SecretBinary".to_owned(), STANDARD.encode(bytes.expose_secret()).into())
            }
        };
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.expose_secret().as_bytes(),
            Self::Binary(bytes) => bytes.expose_secret(),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.bytes() == other.bytes()
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Text(text) => text.expose_secret().to_sql(),
            Self::Binary(bytes) => bytes.expose_secret().to_sql(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_value_in_debug_output() {
        assert!(!format!("{:?}", Value::Text("hunter2".into())).contains("hunter2"));
        assert!(!format!("{:?}", Value::Binary(vec![104, 117].into())).contains("104"));
    }

    #[test]
    fn tells_a_text_from_the_same_bytes_in_binary() {
        assert_ne!(Value::Text("a".into()), Value::Binary(vec![b'a'].into()));
    }
}
