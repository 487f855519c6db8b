//! Leases: the leave to use a key once.
//!
//! Nothing is written for a lease. Its id is sealed with the stack's signing key for its tenant, so that no other tenant
//! can show it and nobody can make one up, and holds all that a report needs to know.

use std::fmt;

use aws_lc_rs::hmac;
use jiff::{SignedDuration, Timestamp};
use shared::auth::Tenant;
use shared::digest::hex;
use shared::table::Cursor;

use crate::GROUP;
use crate::model::KeyId;

/// How long a credential that was handed out is meant to be used.
const LASTS: SignedDuration = SignedDuration::from_mins(10);
/// How long a report is taken.
const REPORTED_WITHIN: SignedDuration = SignedDuration::from_hours(24);

/// The leave to use a key once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The key.
    pub id: KeyId,
    /// Which of the key's credentials was handed out.
    pub revision: u64,
    /// When.
    pub granted_at: Timestamp,
    /// What makes it different from every other.
    pub nonce: [u8; Lease::NONCE],
}

impl Lease {
    /// How many bytes a nonce has.
    pub const NONCE: usize = 8;

    fn scope(tenant: &Tenant) -> [&str; 3] {
        [tenant.as_str(), GROUP, "lease"]
    }

    /// Its id, as its user sees it.
    #[must_use]
    pub fn seal(&self, key: &hmac::Key, tenant: &Tenant) -> String {
        Cursor::seal(key, &Self::scope(tenant), &self.to_string()).as_str().to_owned()
    }

    /// The lease of this id, if it is one of the tenant's.
    #[must_use]
    pub fn open(key: &hmac::Key, tenant: &Tenant, text: &str) -> Option<Self> {
        Self::parse(&Cursor::open(key, &Self::scope(tenant), text)?)
    }

    /// Parses what [`Display`](fmt::Display) writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let id = KeyId::parse(parts.next()?)?;
        let revision = parts.next()?.parse().ok()?;
        let granted_at = Timestamp::from_millisecond(parts.next()?.parse().ok()?).ok()?;
        let nonce = u64::from_str_radix(parts.next()?, 16).ok()?.to_be_bytes();
        parts.next().is_none().then_some(Self { id, revision, granted_at, nonce })
    }

    /// What it is called in the record of its report.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}#{}", self.granted_at.as_millisecond(), hex(&self.nonce))
    }

    /// Until when the credential is meant to be used.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.granted_at.saturating_add(LASTS).unwrap_or(self.granted_at)
    }

    /// True as long as a report is taken.
    #[must_use]
    pub fn is_reportable(&self, now: Timestamp) -> bool {
        now.duration_since(self.granted_at) < REPORTED_WITHIN
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, revision, granted_at, nonce } = self;
        write!(f, "{id}/{revision}/{}/{}", granted_at.as_millisecond(), hex(nonce))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_lease_opens_for_its_own_tenant_only(id in 1u64..9_999_999_999, revision in any::<u64>(), nonce in any::<[u8; 8]>()) {
            let key = hmac::Key::new(hmac::HMAC_SHA256, b"a key of a test");
            let (acme, globex) = (Tenant::parse("acme").unwrap(), Tenant::parse("globex").unwrap());
            let granted_at = Timestamp::from_millisecond(1_780_000_000_123).unwrap();
            let lease = Lease { id: KeyId::new(id).unwrap(), revision, granted_at, nonce };
            let sealed = lease.seal(&key, &acme);
            prop_assert_eq!(Lease::open(&key, &acme, &sealed), Some(lease));
            prop_assert_eq!(Lease::open(&key, &globex, &sealed), None);
        }
    }
}
