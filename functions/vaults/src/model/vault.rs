//! One environment of a vault: what its versions consist of, and whether links have to follow.
//!
//! The values rest in Secrets Manager, spread over as many secrets (*parts*) as they need. A version names for each part
//! the version of that part's secret; a part that a change does not touch keeps its version. The last [`KEPT`] versions
//! stay readable.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::credentials::SecretVersion;

use super::{EnvironmentName, VaultName};

/// So many versions are kept, the present one included.
pub const KEPT: usize = 10;
const FIRST_SETBACK: SignedDuration = SignedDuration::from_mins(5);
const LONGEST_SETBACK: SignedDuration = SignedDuration::from_hours(6);

/// The versions of parts by part.
pub type Parts = BTreeMap<String, SecretVersion>;

/// One version of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Counts from 1.
    pub number: u64,
    /// When it was made.
    pub at: Timestamp,
    /// Who made it.
    pub by: String,
    /// How many names it has.
    pub names: usize,
    /// Where its values are.
    pub parts: Parts,
    /// The version whose content it took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<u64>,
}

/// Whether automatic links have to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Pending {
    /// They have to: it was changed, or a link was made automatic.
    Changed,
    /// They have; they are looked at again later.
    Settled,
}

/// One environment of a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Its id.
    pub id: String,
    /// Its vault.
    pub vault: VaultName,
    /// Its name.
    pub name: EnvironmentName,
    /// The kept versions, the present one last.
    pub versions: Vec<Version>,
    /// Every version of a part that a kept version names, the newest first.
    pub parts: BTreeMap<String, Vec<SecretVersion>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When automatic links are to be looked at; nothing if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_at: Option<Timestamp>,
    /// Whether automatic links have to follow; nothing if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// How often in a row they could not.
    #[serde(default)]
    pub setbacks: u32,
}

impl Environment {
    /// A new one, without a version.
    #[must_use]
    pub fn new(vault: &VaultName, name: &EnvironmentName, now: Timestamp) -> Self {
        Self {
            id: name.id_in(vault),
            vault: vault.clone(),
            name: name.clone(),
            versions: Vec::new(),
            parts: BTreeMap::new(),
            created_at: now,
            look_at: None,
            pending: None,
            setbacks: 0,
        }
    }

    /// The present version. There is always one once it is stored.
    #[must_use]
    pub fn present(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// The number of the present version.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.present().map_or(0, |version| version.number)
    }

    /// A kept version by its number.
    #[must_use]
    pub fn version(&self, number: u64) -> Option<&Version> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// Adds a version; the oldest goes when there are too many. Automatic links have to follow.
    pub fn add(&mut self, version: Version) {
        let at = version.at;
        self.versions.push(version);
        let surplus = self.versions.len().saturating_sub(KEPT);
        self.versions.drain(..surplus);
        let mut parts: BTreeMap<String, Vec<SecretVersion>> = BTreeMap::new();
        for version in self.versions.iter().rev() {
            for (part, of_part) in &version.parts {
                let named = parts.entry(part.clone()).or_default();
                if !named.contains(of_part) {
                    named.push(*of_part);
                }
            }
        }
        self.parts = parts;
        if self.pending.is_some() {
            self.follow(at);
        }
    }

    /// Automatic links have to follow, from `now` on.
    pub fn follow(&mut self, now: Timestamp) {
        self.pending = Some(Pending::Changed);
        self.look_at = Some(now);
        self.setbacks = 0;
    }

    /// No link is automatic any more.
    pub fn follow_no_more(&mut self) {
        self.pending = None;
        self.look_at = None;
        self.setbacks = 0;
    }

    /// Automatic links have followed the version `number`: they are looked at again `again`. One that was made meanwhile
    /// stays to be followed.
    pub fn settle(&mut self, number: u64, again: Timestamp) {
        if self.number() == number && self.pending.is_some() {
            self.pending = Some(Pending::Settled);
            self.look_at = Some(again);
            self.setbacks = 0;
        }
    }

    /// Automatic links could not follow the version `number`: they are tried again, later each time.
    pub fn put_off(&mut self, number: u64, now: Timestamp) {
        if self.number() == number && self.pending.is_some() {
            let pause = (FIRST_SETBACK * 2_i32.pow(self.setbacks.min(10))).min(LONGEST_SETBACK);
            self.pending = Some(Pending::Settled);
            self.look_at = now.saturating_add(pause).ok();
            self.setbacks += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn version(number: u64, parts: &[(&str, u128)]) -> Version {
        let parts = parts.iter().map(|(part, id)| ((*part).to_owned(), SecretVersion(Uuid::from_u128(*id))));
        Version {
            number,
            at: Timestamp::from_second(1_780_000_000).unwrap(),
            by: "someone".into(),
            names: 1,
            parts: parts.collect(),
            restored: None,
        }
    }

    #[test]
    fn ten_versions_are_kept_and_every_part_of_theirs_is_named_the_newest_first() {
        let (vault, name) = (VaultName::parse("acme", "app").unwrap(), EnvironmentName::production());
        let mut one = Environment::new(&vault, &name, Timestamp::UNIX_EPOCH);
        one.add(version(1, &[("0", 1), ("1", 100)]));
        for number in 2..=11 {
            one.add(version(number, &[("0", u128::from(number))]));
        }
        let numbers: Vec<u64> = one.versions.iter().map(|version| version.number).collect();
        assert_eq!(numbers, (2..=11).collect::<Vec<_>>());
        let named: Vec<u128> = one.parts["0"].iter().map(|version| version.0.as_u128()).collect();
        assert_eq!(named, (2..=11).rev().collect::<Vec<_>>());
        assert_eq!(one.parts.get("1"), None, "no kept version has it");
        // What a rollback takes up again is in use again.
        one.add(version(12, &[("0", 5)]));
        assert_eq!(one.parts["0"][0].0.as_u128(), 5);
        assert_eq!(one.parts["0"].len(), 9);
    }

    #[test]
    fn what_was_changed_meanwhile_stays_to_be_followed() {
        let (vault, name) = (VaultName::parse("acme", "app").unwrap(), EnvironmentName::production());
        let now = Timestamp::from_second(1_780_000_000).unwrap();
        let later = now.saturating_add(SignedDuration::from_hours(24)).unwrap();
        let mut one = Environment::new(&vault, &name, now);
        one.add(version(1, &[]));
        assert_eq!((one.pending, one.look_at), (None, None));
        one.follow(now);
        one.add(version(2, &[]));
        one.settle(1, later);
        assert_eq!((one.pending, one.look_at), (Some(Pending::Changed), Some(now)));
        one.settle(2, later);
        assert_eq!((one.pending, one.look_at), (Some(Pending::Settled), Some(later)));
        one.put_off(2, now);
        assert_eq!(one.look_at, now.saturating_add(FIRST_SETBACK).ok());
    }
}
