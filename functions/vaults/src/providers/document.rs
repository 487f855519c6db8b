//! A connection's tokens as its secret holds them.

use secrecy::SecretString;
use serde_json::{Map, Value};
use shared::credentials::{CredentialError, disclose};

use crate::model::connection::REFRESH_TOKEN as REFRESH;

const ACCESS: &str = "access_token";

/// A connection's tokens.
#[derive(Debug, Clone)]
pub struct Held {
    /// The token that requests carry.
    pub access: SecretString,
    /// The token that gets a new one, where there is one.
    pub refresh: Option<SecretString>,
}

impl Held {
    /// As a secret's document, with the names in it.
    #[must_use]
    pub fn document(&self) -> (SecretString, Vec<String>) {
        let mut document = Map::from_iter([(ACCESS.to_owned(), Value::from(disclose(&self.access)))]);
        document.extend(self.refresh.iter().map(|refresh| (REFRESH.to_owned(), Value::from(disclose(refresh)))));
        let names = document.keys().cloned().collect();
        (SecretString::from(Value::Object(document).to_string()), names)
    }

    /// Reads a secret's document.
    ///
    /// # Errors
    /// [`CredentialError::Malformed`] if it is not one of a connection.
    pub fn of_document(document: &SecretString) -> Result<Self, CredentialError> {
        let read: Result<Map<String, Value>, _> = serde_json::from_str(disclose(document));
        let read = read.map_err(|_| CredentialError::Malformed("a connection's tokens have another form"))?;
        let token = |name: &str| read.get(name).and_then(Value::as_str).map(SecretString::from);
        let access = token(ACCESS).ok_or(CredentialError::Malformed("a connection has no token"))?;
        Ok(Self { access, refresh: token(REFRESH) })
    }
}
