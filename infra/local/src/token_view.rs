//! A token's record as `causeway token` shows it: a row of a list, a page of its own, JSON for scripts. Never the token.

use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::auth::TokenRecord;

/// A record, as it is at a moment.
pub(crate) struct View<'a> {
    pub(crate) record: &'a TokenRecord,
    pub(crate) now: Timestamp,
}

impl View<'_> {
    fn state(&self) -> &'static str {
        match self.record {
            record if record.works_at(self.now) => "active",
            record if record.revoked_at.is_some() => "revoked",
            _ => "expired",
        }
    }

    fn permissions(&self) -> Vec<&'static str> {
        self.record.permissions.iter().map(|permission| permission.name()).collect()
    }

    /// One line of a list.
    pub(crate) fn row(&self) -> String {
        let record = self.record;
        let state = match (record.revoked_at, record.token_expires_at) {
            (Some(at), _) => format!("revoked {at:.0}"),
            (None, Some(at)) if at <= self.now => format!("expired {at:.0}"),
            (None, Some(at)) => format!("until {at:.0}"),
            (None, None) => "active".into(),
        };
        let permissions = self.permissions().join(",");
        format!("{}  {}  {}  {}  {state}  {permissions}", record.id, record.tenant, record.user, record.name)
    }

    /// Everything there is to know, a line each.
    pub(crate) fn page(&self, out: &mut impl Write) -> io::Result<()> {
        let record = self.record;
        let time = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| format!("{at:.0}"));
        let permissions = if record.permissions.is_empty() { "none".to_owned() } else { self.permissions().join(",") };
        writeln!(out, "id             {}", record.id)?;
        writeln!(out, "state          {}", self.state())?;
        writeln!(out, "tenant         {}", record.tenant)?;
        writeln!(out, "user           {}", record.user)?;
        writeln!(out, "name           {}", record.name)?;
        writeln!(out, "permissions    {permissions}")?;
        if let Some(client_id) = &record.client_id {
            writeln!(out, "client id      {client_id}")?;
        }
        writeln!(out, "created        {:.0}", record.created_at)?;
        writeln!(out, "expires        {}", time(record.token_expires_at))?;
        if let Some(at) = record.revoked_at {
            writeln!(out, "revoked        {at:.0}")?;
        }
        if let Some(id) = &record.replaced_by {
            writeln!(out, "replaced by    {id}")?;
        }
        Ok(())
    }

    /// The same as JSON. Members that do not apply are null.
    pub(crate) fn json(&self) -> Value {
        let record = self.record;
        json!({
            "id": record.id,
            "state": self.state(),
            "tenant": record.tenant,
            "user": record.user,
            "name": record.name,
            "permissions": self.permissions(),
            "client_id": record.client_id,
            "created_at": record.created_at,
            "expires_at": record.token_expires_at,
            "revoked_at": record.revoked_at,
            "replaced_by": record.replaced_by,
        })
    }

    /// The same with more members.
    pub(crate) fn json_with<const N: usize>(&self, more: [(&str, Value); N]) -> Value {
        let mut value = self.json();
        if let Some(members) = value.as_object_mut() {
            members.extend(more.map(|(name, value)| (name.to_owned(), value)));
        }
        value
    }
}
