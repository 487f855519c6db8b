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
    /// What a sync of this vault wrote, is still as it was written, and the source has no more.
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
        /// True if a sync of this vault wrote it, and nobody has written it since as far as is known.
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
    /// The source has it, and the provider keeps the name for itself.
    Reserved,
}

/// How every name stands. Of those that are `reserved` only what the source has is told.
#[must_use]
pub fn compare<'a>(
    source: &'a Side,
    target: &'a Side,
    ledger: &Ledger,
    reserved: &dyn Fn(&str) -> bool,
) -> BTreeMap<&'a str, Standing> {
    let names: BTreeSet<&str> = source.values.keys().chain(target.values.keys()).map(String::as_str).collect();
    let stand = |name| match (reserved(name), source.values.contains_key(name)) {
        (false, _) => Some((name, stand(name, source, target, ledger))),
        (true, true) => Some((name, Standing::Reserved)),
        (true, false) => None,
    };
    names.into_iter().filter_map(stand).collect()
}

fn stand(name: &str, source: &Side, target: &Side, ledger: &Ledger) -> Standing {
    match (source.values.get(name), target.values.get(name)) {
        (None, there) => Standing::Extra { managed: there.is_some_and(|there| is_still(there, ledger.get(name))) },
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

/// True if what is there is what is remembered: what somebody else has written since is not this vault's to delete.
fn is_still(there: &Value, remembered: Option<&Entry>) -> bool {
    remembered.is_some_and(|entry| match there {
        Value::Known(fingerprint) => entry.fingerprint == *fingerprint,
        Value::Hidden(marker) => entry.marker == *marker,
    })
}

/// The names that are remembered and on neither side: whoever makes one anew, it is theirs. None where names are hidden.
#[must_use]
pub fn forgotten(source: &Side, target: &Side, ledger: &Ledger) -> Vec<String> {
    if target.hides_names {
        return Vec::new();
    }
    let gone = |name: &&String| !source.values.contains_key(*name) && !target.values.contains_key(*name);
    ledger.keys().filter(gone).cloned().collect()
}

/// What a sync has to do: names only, each list sorted, no name in two of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = SyncPlan)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What the target lacks.
    pub to_create: Vec<String>,
    /// What differs.
    pub to_update: Vec<String>,
    /// What the source lacks and may be deleted.
    pub to_delete: Vec<String>,
    /// What is left alone: equal on both sides, not to be read on the source's, or a name that the platform keeps for itself.
    pub to_skip: Vec<String>,
}

impl Plan {
    /// True if nothing has to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to_create.is_empty() && self.to_update.is_empty() && self.to_delete.is_empty()
    }
}

/// What a sync has to do. `reserved` names belong to the provider: they are left alone, whoever has them.
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
            Standing::Same | Standing::Unreadable | Standing::Reserved => &mut plan.to_skip,
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

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, btree_set};
    use proptest::prelude::*;
    use secrecy::SecretString;

    use super::*;
    use crate::model::fingerprint::Fingerprints;

    const NAMES: [&str; 8] = ["A", "B", "C", "D", "E", "F", "PROVIDER_ID", "PROVIDER_URL"];

    fn is_reserved(name: &str) -> bool {
        name.starts_with("PROVIDER_")
    }

    /// The fingerprint of one of a few values.
    fn fingerprint(name: &str, value: u8) -> Fingerprint {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"a key of a test");
        Fingerprints::new(&key, &["acme", "prj"]).of(name, &SecretString::from(value.to_string()))
    }

    fn name() -> impl Strategy<Value = String> {
        proptest::sample::select(&NAMES[..]).prop_map(str::to_owned)
    }

    fn marker() -> impl Strategy<Value = Option<String>> {
        proptest::option::of((0_u8..3).prop_map(|number| number.to_string()))
    }

    fn side() -> impl Strategy<Value = Side> {
        let value = prop_oneof![(0_u8..3).prop_map(Ok), marker().prop_map(Err)];
        (btree_map(name(), value, 0..8), prop::bool::weighted(0.2)).prop_map(|(values, hides_names)| {
            let value = |(name, value): (String, Result<u8, Option<String>>)| {
                let value = match value {
                    Ok(value) => Value::Known(fingerprint(&name, value)),
                    Err(marker) => Value::Hidden(marker),
                };
                (name, value)
            };
            Side { values: values.into_iter().map(value).collect(), hides_names }
        })
    }

    fn ledger() -> impl Strategy<Value = Ledger> {
        btree_map(name(), (0_u8..3, marker()), 0..8).prop_map(|entries| {
            let entry = |(name, (value, marker)): (String, (u8, Option<String>))| {
                let entry = Entry { fingerprint: fingerprint(&name, value), marker };
                (name, entry)
            };
            entries.into_iter().map(entry).collect()
        })
    }

    fn deletions() -> impl Strategy<Value = Deletions> {
        proptest::sample::select(&[Deletions::None, Deletions::Managed, Deletions::All][..])
    }

    /// A world in which a sync may find itself: either direction, for a vault is a side that hides nothing.
    #[derive(Debug, Clone)]
    struct World {
        source: Side,
        target: Side,
        ledger: Ledger,
        deletions: Deletions,
        /// The names whose values the target will not give back.
        write_only: BTreeSet<String>,
    }

    impl World {
        fn plan(&self) -> Plan {
            plan(&self.source, &self.target, &self.ledger, self.deletions, &is_reserved)
        }

        /// Carries a plan out, as the executor does: what is written is remembered, what is deleted forgotten.
        fn apply(&mut self, plan: &Plan) {
            for name in plan.to_create.iter().chain(&plan.to_update) {
                let Some(Value::Known(fingerprint)) = self.source.values.get(name) else {
                    panic!("{name} cannot be read");
                };
                let marker = self.write_only.contains(name).then(|| "a new marker".to_owned());
                let written = match &marker {
                    Some(marker) => Value::Hidden(Some(marker.clone())),
                    None => Value::Known(fingerprint.clone()),
                };
                self.target.values.insert(name.clone(), written);
                self.ledger.insert(name.clone(), Entry { fingerprint: fingerprint.clone(), marker });
            }
            for name in &plan.to_delete {
                assert!(self.target.values.remove(name).is_some(), "{name} is not there");
                self.ledger.remove(name);
            }
        }
    }

    fn world() -> impl Strategy<Value = World> {
        let parts = (side(), side(), ledger(), deletions(), btree_set(name(), 0..8));
        parts.prop_map(|(source, target, ledger, deletions, write_only)| World {
            source,
            target,
            ledger,
            deletions,
            write_only,
        })
    }

    proptest! {
        #[test]
        fn once_a_plan_is_carried_out_nothing_is_left_to_do(mut world in world()) {
            let plan = world.plan();
            world.apply(&plan);
            let again = world.plan();
            prop_assert!(again.is_empty(), "{again:?}");
        }

        #[test]
        fn a_plan_may_stop_anywhere_and_the_next_ends_the_same(world in world(), stop in 0_usize..8) {
            let plan = world.plan();
            let mut whole = world.clone();
            whole.apply(&plan);
            let mut interrupted = world;
            let some = Plan {
                to_create: plan.to_create.into_iter().take(stop).collect(),
                to_update: plan.to_update.into_iter().take(stop / 2).collect(),
                ..Plan::default()
            };
            interrupted.apply(&some);
            let rest = interrupted.plan();
            interrupted.apply(&rest);
            prop_assert_eq!(interrupted.target, whole.target);
            prop_assert_eq!(interrupted.ledger, whole.ledger);
        }

        #[test]
        fn nothing_is_deleted_without_leave(world in world()) {
            let plan = World { deletions: Deletions::None, ..world }.plan();
            prop_assert_eq!(plan.to_delete, Vec::<String>::new());
        }

        #[test]
        fn nothing_is_deleted_where_names_are_hidden(mut world in world(), on_source: bool) {
            let side = if on_source { &mut world.source } else { &mut world.target };
            side.hides_names = true;
            prop_assert_eq!(world.plan().to_delete, Vec::<String>::new());
        }

        #[test]
        fn only_what_the_source_lacks_is_deleted_and_with_managed_only_what_was_written(world in world()) {
            let plan = world.plan();
            for name in &plan.to_delete {
                prop_assert!(!world.source.values.contains_key(name) && world.target.values.contains_key(name));
                let ours = is_still(&world.target.values[name], world.ledger.get(name));
                prop_assert!(world.deletions == Deletions::All || ours);
            }
            let managed = World { deletions: Deletions::Managed, ..world.clone() }.plan();
            let all = World { deletions: Deletions::All, ..world.clone() }.plan();
            prop_assert!(managed.to_delete.iter().all(|name| all.to_delete.contains(name)));
            prop_assert_eq!(&managed.to_create, &all.to_create);
            prop_assert_eq!(&managed.to_update, &all.to_update);
        }

        #[test]
        fn reserved_names_are_left_alone_and_the_sources_are_told(world in world()) {
            let plan = world.plan();
            let lists = [plan.to_create, plan.to_update, plan.to_delete];
            prop_assert_eq!(lists.iter().flatten().find(|name| is_reserved(name)), None);
            let told = plan.to_skip.iter().filter(|name| is_reserved(name));
            prop_assert!(told.eq(world.source.values.keys().filter(|name| is_reserved(name))));
        }

        #[test]
        fn every_list_is_sorted_and_no_name_is_in_two(world in world()) {
            let plan = world.plan();
            let mut seen = BTreeSet::new();
            for list in [&plan.to_create, &plan.to_update, &plan.to_delete, &plan.to_skip] {
                prop_assert!(list.is_sorted());
                prop_assert!(list.iter().all(|name| seen.insert(name.clone())), "{plan:?}");
            }
            // Whatever the source has is in one of them.
            prop_assert!(world.source.values.keys().all(|name| seen.contains(name)));
        }

        #[test]
        fn a_value_that_cannot_be_read_is_never_carried_over(world in world()) {
            let plan = world.plan();
            let hidden = |name: &&String| matches!(world.source.values.get(*name), Some(Value::Hidden(_)));
            prop_assert_eq!(plan.to_create.iter().chain(&plan.to_update).find(hidden), None);
        }
    }

    #[test]
    fn what_somebody_else_wrote_since_is_not_managed() {
        let managed = |there: Value, remembered: Option<(u8, Option<&str>)>| {
            let target = Side { values: [("A".into(), there)].into(), hides_names: false };
            let entry = |(value, marker): (u8, Option<&str>)| {
                ("A".to_owned(), Entry { fingerprint: fingerprint("A", value), marker: marker.map(str::to_owned) })
            };
            let ledger = remembered.map(entry).into_iter().collect();
            let plan = plan(&Side::default(), &target, &ledger, Deletions::Managed, &is_reserved);
            plan.to_delete == ["A"]
        };
        let (known, hidden) =
            (|value| Value::Known(fingerprint("A", value)), |marker: &str| Value::Hidden(Some(marker.into())));
        assert!(managed(known(1), Some((1, None))) && managed(known(1), Some((1, Some("1")))));
        assert!(!managed(known(2), Some((1, None))) && !managed(known(1), None));
        assert!(managed(hidden("1"), Some((1, Some("1")))) && managed(Value::Hidden(None), Some((1, None))));
        assert!(!managed(hidden("2"), Some((1, Some("1")))) && !managed(hidden("1"), None));
    }

    #[test]
    fn what_is_on_neither_side_is_forgotten() {
        let known = |name: &str| (name.to_owned(), Value::Known(fingerprint(name, 1)));
        let side = |name: &str| Side { values: [known(name)].into(), hides_names: false };
        let entry = |name: &str| (name.to_owned(), Entry { fingerprint: fingerprint(name, 1), marker: None });
        let ledger = ["A", "B", "C"].map(entry).into();
        assert_eq!(forgotten(&side("A"), &side("B"), &ledger), ["C"]);
        let hides = Side { hides_names: true, ..side("B") };
        assert_eq!(forgotten(&side("A"), &hides, &ledger), [""; 0]);
    }

    #[test]
    fn a_hidden_value_is_unchanged_only_while_the_marker_and_the_value_stand() {
        let stands = |marker: Option<&str>, remembered: Option<(u8, Option<&str>)>| {
            let source = Side { values: [("A".into(), Value::Known(fingerprint("A", 1)))].into(), hides_names: false };
            let there = Value::Hidden(marker.map(str::to_owned));
            let target = Side { values: [("A".into(), there)].into(), hides_names: false };
            let entry = |(value, marker): (u8, Option<&str>)| {
                ("A".to_owned(), Entry { fingerprint: fingerprint("A", value), marker: marker.map(str::to_owned) })
            };
            compare(&source, &target, &remembered.map(entry).into_iter().collect(), &is_reserved)["A"]
        };
        assert_eq!(stands(Some("1"), Some((1, Some("1")))), Standing::Same);
        assert_eq!(stands(None, Some((1, None))), Standing::Same);
        assert_eq!(stands(Some("1"), Some((2, Some("1")))), Standing::Different);
        assert_eq!(stands(Some("2"), Some((1, Some("1")))), Standing::Drifted);
        assert_eq!(stands(Some("1"), None), Standing::Unknown);
    }
}
