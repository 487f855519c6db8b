//! Keys for the model's own tests.

use std::collections::BTreeMap;

use jiff::Timestamp;
use shared::credentials::SecretVersion;

use super::{Health, Key, KeyId, SecretPart, Work};

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// An active key without limits.
pub(super) fn key(id: u64) -> Key {
    Key {
        id: KeyId::new(id).unwrap(),
        provider: "groq".into(),
        label: None,
        base_url: None,
        is_active: true,
        is_primary: false,
        own_priority: None,
        daily_limit: None,
        minute_limit: None,
        spend_limit: None,
        spend_exceeded_in: None,
        health: Health::default(),
        billing: None,
        previews: BTreeMap::new(),
        secret: SecretPart { version: SecretVersion(uuid::Uuid::nil()), keys: Vec::new() },
        previous: None,
        revision: 1,
        created_at: at(0),
        updated_at: at(0),
        monitor: Work::due_since(at(0)),
    }
}
