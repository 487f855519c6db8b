//! An integration: a connected exchange, wallet, chain or file.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::clock::Reservation;
pub use shared::credentials::SecretPart;

use super::{Category, Importing, Origin, Status, Sync};

/// `wal_` and 21 lower-case letters and digits, which sort by when the integration was added.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WalletId(String);

impl WalletId {
    const PREFIX: &'static str = "wal_";

    /// The id of what this creation creates.
    #[must_use]
    pub fn of(reservation: &Reservation) -> Self {
        Self(format!("{}{}", Self::PREFIX, reservation.sortable()))
    }

    /// Parses an id. What has another form names nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(Self::PREFIX)?;
        let fits = rest.len() == 21 && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        fits.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WalletId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A connected exchange, wallet, chain or file, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    /// Its id.
    pub wallet_id: WalletId,
    /// Its provider's id, which never changes.
    pub provider: String,
    /// What people call the provider.
    pub public_name: String,
    /// What kind of place it is.
    pub category: Category,
    /// Where its history comes from.
    #[serde(rename = "kind")]
    pub origin: Origin,
    /// The source that is asked, by its name; none for files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What its owner calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Which of its owner's accounts it is, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,
    /// What may be shown of what it is asked by: an address, a masked key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The chains that are asked, CAIP-2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<String>,
    /// Credential fields that may be seen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Where the fields are that may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretPart>,
    /// Hashes of what makes it the tenant's only integration of this account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<String>,
    /// The hash among them of the provider's own name for the account, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_identity: Option<String>,
    /// True if the address is a contract.
    pub is_contract: bool,
    /// What its owner should know of the credential.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// When it was added.
    pub added_on: Timestamp,
    /// Where its sync stands.
    pub status: Status,
    /// How many records are stored of it.
    pub total_transactions: u64,
    /// When a sync last ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_synced_at: Option<Timestamp>,
    /// What went wrong, for its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How its syncs go.
    pub sync: Sync,
    /// How the last import of a file went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importing: Option<Importing>,
}

/// How the warning begins that stands in place of a credential's test.
pub const UNTESTED: &str = "The credential could not be tested";

impl Integration {
    /// False while a warning says that its credential could not be tested.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        !self.warnings.iter().any(|warning| warning.starts_with(UNTESTED))
    }

    /// What it is called: its alias, or its provider's name.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.public_name)
    }
}

/// What lists and searches need of an integration, and no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slim {
    /// Where it stands in the order: its id.
    #[serde(rename = "slim_order")]
    pub wallet_id: WalletId,
    /// See [`Integration::provider`].
    pub provider: String,
    /// See [`Integration::public_name`].
    pub public_name: String,
    /// See [`Integration::category`].
    pub category: Category,
    /// See [`Integration::origin`].
    #[serde(rename = "kind")]
    pub origin: Origin,
    /// See [`Integration::status`].
    pub status: Status,
    /// See [`Integration::alias`].
    #[serde(default)]
    pub alias: Option<String>,
    /// See [`Integration::account_name`].
    #[serde(default)]
    pub account_name: Option<String>,
    /// See [`Integration::address`].
    #[serde(default)]
    pub address: Option<String>,
    /// See [`Integration::added_on`].
    pub added_on: Timestamp,
}

#[cfg(test)]
mod tests {
    use shared::clock::Ids;

    use super::*;

    #[test]
    fn ids_are_parsed_only_in_their_own_form() {
        let id = WalletId::of(&Ids::default().reserve());
        assert_eq!(WalletId::parse(id.as_str()), Some(id));
        for text in [
            "",
            "wal_",
            "wal_123",
            "WAL_000000000000000000000",
            "wal_00000000000000000000#",
            "int_000000000000000000000",
        ] {
            assert_eq!(WalletId::parse(text), None, "{text}");
        }
    }
}
