//! Who asks, and what they may do.
//!
//! A bearer token is 256 random bits; only its SHA-256 is stored, with the tenant, the user and the permissions that it
//! stands for. Where the operator has an OpenID Connect issuer, its JWTs count too: their claims say the same, and nothing
//! is stored. A handler states the permission it needs in its signature ([`Caller<P>`](Caller)), and that is where
//! the tenant comes from, so nothing can be read before the check.

pub(crate) mod caller;
mod jwt;
mod oidc;
mod permission;
mod token;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use caller::Caller;
pub use jwt::SigningAlgorithm;
pub use oidc::IssuerError;
pub use permission::{Needs, Permission, needs};
pub use token::{Authenticator, Client, Grant, Minted, Token, TokenRecord, TokenStore, Unauthenticated};

/// A customer of the product: everything stored belongs to one.
///
/// 1 to 63 lower-case letters, digits, `-` and `_`, starting with a letter or a digit; `operator` and `oauth` are taken
/// by the stack's own secrets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tenant(String);

impl Tenant {
    /// Parses a tenant's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let first = text.bytes().next()?;
        let fits = text.len() <= 63
            && (first.is_ascii_lowercase() || first.is_ascii_digit())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
            && !matches!(text, "operator" | "oauth");
        fits.then(|| Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Tenant {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a tenant's name is 1 to 63 lower-case letters, digits, - and _")
    }
}

impl From<Tenant> for String {
    fn from(tenant: Tenant) -> Self {
        tenant.0
    }
}

/// Who a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Whose things may be seen.
    pub tenant: Tenant,
    /// Who acts.
    pub user: String,
    /// What may be done.
    pub permissions: Vec<Permission>,
}

impl Principal {
    /// True if the token has this permission.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_name_cannot_reach_into_another_key() {
        for name in ["", "a#b", "a/b", "A", "-a", "ä", "operator", "oauth", &"a".repeat(64)] {
            assert_eq!(Tenant::parse(name), None, "{name}");
        }
        for name in ["a", "acme", "acme-2_eu", "0"] {
            assert!(Tenant::parse(name).is_some(), "{name}");
        }
    }
}
