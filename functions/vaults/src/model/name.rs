//! The names of vaults and their environments, made only by parsing, so that a key cannot be reached into.

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::digest::sha256_hex;

/// The longest part of a name.
const LONGEST: usize = 100;

fn is_name(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && text.bytes().any(|byte| byte != b'.')
}

/// A vault: `owner/repo`, each 1 to 100 letters, digits, `-`, `_` and `.`. Upper and lower case are told apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VaultName(String);

impl VaultName {
    /// What is accepted, in words.
    pub const ACCEPTED: &str = "1 to 100 letters, digits, -, _ and .";

    /// The vault of this owner's repository.
    #[must_use]
    pub fn parse(owner: &str, repo: &str) -> Option<Self> {
        (is_name(owner) && is_name(repo)).then(|| Self(format!("{owner}/{repo}")))
    }

    /// `owner/repo`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The owner and the repository.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or_default()
    }
}

impl fmt::Display for VaultName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for VaultName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parsed = text.split_once('/').and_then(|(owner, repo)| Self::parse(owner, repo));
        parsed.ok_or("a vault's name is owner/repo")
    }
}

impl From<VaultName> for String {
    fn from(name: VaultName) -> Self {
        name.0
    }
}

/// One environment of a vault: 1 to 100 letters, digits, `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvironmentName(String);

impl EnvironmentName {
    /// What is accepted, in words.
    pub const ACCEPTED: &str = "1 to 100 letters, digits, -, _ and .";

    /// Parses an environment's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_name(text).then(|| Self(text.to_owned()))
    }

    /// Where nothing else is said.
    #[must_use]
    pub fn production() -> Self {
        Self("production".into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the environment's item and of its secrets: a hash, for a secret's name has room for less than a vault's.
    #[must_use]
    pub fn id_in(&self, vault: &VaultName) -> String {
        let hash = sha256_hex(format!("{vault}/{self}").as_bytes());
        format!("env_{}", hash.get(..32).unwrap_or_default())
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for EnvironmentName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("an environment's name is letters, digits, -, _ and .")
    }
}

impl From<EnvironmentName> for String {
    fn from(name: EnvironmentName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_reach_into_another_key() {
        for (owner, repo) in [("", "a"), ("a", ""), ("a#", "b"), ("a", "b/c"), ("..", "a"), ("a", "é"), ("a b", "c")] {
            assert_eq!(VaultName::parse(owner, repo), None, "{owner}/{repo}");
        }
        assert_eq!(VaultName::parse("Acme", "web.app_2-x").unwrap().parts(), ("Acme", "web.app_2-x"));
        assert_eq!(EnvironmentName::parse("a/b"), None);
    }

    #[test]
    fn environments_have_ids_of_their_own() {
        let (vault, production) = (VaultName::parse("acme", "app").unwrap(), EnvironmentName::production());
        let id = production.id_in(&vault);
        assert_eq!(id.len(), 36);
        assert_ne!(id, EnvironmentName::parse("staging").unwrap().id_in(&vault));
        assert_ne!(id, production.id_in(&VaultName::parse("acme", "app2").unwrap()));
    }
}
