//! A whole credential: what a provider's fields hold.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use shared::credentials::{CredentialError, disclose};

/// A whole credential: its parts by name.
#[derive(Debug, Clone, Default)]
pub struct Secrets(pub BTreeMap<String, SecretString>);

impl Secrets {
    /// The names of its parts.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// The document that holds it in Secrets Manager.
    #[must_use]
    pub fn document(&self) -> SecretString {
        let parts: BTreeMap<&str, &str> =
            self.0.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        SecretString::from(serde_json::to_string(&parts).unwrap_or_default())
    }

    /// A credential from its document.
    ///
    /// # Errors
    /// [`CredentialError::Malformed`] if it is no object of texts.
    pub fn parse(document: &SecretString) -> Result<Self, CredentialError> {
        let parts: BTreeMap<String, String> = serde_json::from_str(document.expose_secret())
            .map_err(|_| CredentialError::Malformed("it is not an object of texts"))?;
        Ok(Self(parts.into_iter().map(|(name, value)| (name, SecretString::from(value))).collect()))
    }

    /// What is shown of each part.
    #[must_use]
    pub fn previews(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(name, value)| (name.clone(), crate::model::preview(value.expose_secret()))).collect()
    }

    /// Every part, for what must not repeat it.
    #[must_use]
    pub fn confidential(&self) -> Vec<SecretString> {
        self.0.values().cloned().collect()
    }

    /// Every part whole, for whoever has acquired it.
    #[must_use]
    pub fn disclosed(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(name, value)| (name.clone(), disclose(value).to_owned())).collect()
    }
}
