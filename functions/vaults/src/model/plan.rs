//! The planner: what a sync has to do, for both directions and every provider.
//!
//! # Theory of operation
//! A sync has a source and a target: the vault and a project's environment, or the other way round. Each side is a map of
//! names; of a value it is known what it is ([`Value::Known`], by fingerprint) or only that it is there
//! ([`Value::Hidden`], with the provider's own marker of its last change). For a hidden value the ledger remembers what
//! was written last and which marker the provider gave it: if both still stand, the value is unchanged; if the marker has
//! moved, somebody else wrote.
//!
//! [`compare`] tells how each name stands and [`plan`] what follows from it. Both are pure: a preview prints the plan,
//! an execution carries out that plan, and once it is carried out the next plan has nothing to do.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;

/// What is known of one value on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// It can be read.
    Known(Fingerprint),
    /// It is there and does not show itself; the provider's marker of its last change, where the provider has one.
    Hidden(Option<String>),
}

/// One side of a sync.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Side {
    /// What is there, by name.
    pub values: BTreeMap<String, Value>,
    /// True if there may be names that we are not shown. Nothing is deleted then, on either side.
    pub hides_names: bool,
}

/// What is remembered of a name from the last time that a sync of this vault wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What was written.
    pub fingerprint: Fingerprint,
    /// The provider's marker of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
}

/// The names that syncs of this vault wrote into this target, and what they wrote.
pub type Ledger = BTreeMap<String, Entry>;

/// What may be deleted from the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletions {
    /// Nothing.
    None,
    /// What a sync of this vault wrote and the source has no more.
    Managed,
    /// Whatever the source lacks.
    All,
}

/// How a name stands between source and target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The target lacks it.
    Missing,
    /// The source lacks it.
    Extra {
        /// True if a sync of this vault wrote it.
        managed: bool,
    },
    /// Both have it, with the same value.
    Same,
    /// Both have it, with different values.
    Different,
    /// The target's value does not show itself, and is not what was written last.
    Drifted,
    /// The target's value does not show itself, and was never written from here.
    Unknown,
    /// The source's value does not show itself, so it cannot be carried over.
    Unreadable,
}

/// How every name stands that is not `reserved`.
#[must_use]
pub fn compare<'a>(
    source: &'a Side,
    target: &'a Side,
    ledger: &Ledger,
    reserved: &dyn Fn(&str) -> bool,
) -> BTreeMap<&'a str, Standing> {
    let names: BTreeSet<&str> = source.values.keys().chain(target.values.keys()).map(String::as_str).collect();
    let names = names.into_iter().filter(|name| !reserved(name));
    names.map(|name| (name, stand(name, source, target, ledger))).collect()
}

fn stand(name: &str, source: &Side, target: &Side, ledger: &Ledger) -> Standing {
    match (source.values.get(name), target.values.get(name)) {
        (None, _) => Standing::Extra { managed: ledger.contains_key(name) },
        (Some(Value::Hidden(_)), _) => Standing::Unreadable,
        (Some(Value::Known(_)), None) => Standing::Missing,
        (Some(Value::Known(wanted)), Some(Value::Known(there))) if wanted == there => Standing::Same,
        (Some(Value::Known(_)), Some(Value::Known(_))) => Standing::Different,
        (Some(Value::Known(wanted)), Some(Value::Hidden(marker))) => match ledger.get(name) {
            None => Standing::Unknown,
            Some(entry) if entry.marker != *marker => Standing::Drifted,
            Some(entry) if entry.fingerprint == *wanted => Standing::Same,
            Some(_) => Standing::Different,
        },
    }
}

/// What a sync has to do: names only, each list sorted, no name in two of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What the target lacks.
    pub to_create: Vec<String>,
    /// What differs.
    pub to_update: Vec<String>,
    /// What the source lacks and may be deleted.
    pub to_delete: Vec<String>,
    /// What is left alone: equal on both sides, or not to be read on the source's.
    pub to_skip: Vec<String>,
}

impl Plan {
    /// True if nothing has to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to_create.is_empty() && self.to_update.is_empty() && self.to_delete.is_empty()
    }
}

/// What a sync has to do. `reserved` names belong to the provider and never appear.
#[must_use]
pub fn plan(
    source: &Side,
    target: &Side,
    ledger: &Ledger,
    deletions: Deletions,
    reserved: &dyn Fn(&str) -> bool,
) -> Plan {
    let deletions = if source.hides_names || target.hides_names { Deletions::None } else { deletions };
    let mut plan = Plan::default();
    for (name, standing) in compare(source, target, ledger, reserved) {
        let list = match standing {
            Standing::Missing => &mut plan.to_create,
            Standing::Different | Standing::Drifted | Standing::Unknown => &mut plan.to_update,
            Standing::Same | Standing::Unreadable => &mut plan.to_skip,
            Standing::Extra { managed }
                if deletions == Deletions::All || (managed && deletions == Deletions::Managed) =>
            {
                &mut plan.to_delete
            }
            Standing::Extra { .. } => continue,
        };
        list.push(name.to_owned());
    }
    plan
}
