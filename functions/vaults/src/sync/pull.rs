//! Carrying a plan out to a vault: one edit of its environment.

use std::collections::BTreeMap;

use shared::auth::Tenant;
use shared::http::ApiError;

use super::{Ask, Survey};
use crate::Vaults;
use crate::model::plan::{Entry, Plan};
use crate::model::{Direction, Tally};
use crate::store::Edit;
use crate::store::values::{objection_to_name, objection_to_value};

/// Writes what the plan says into the vault. With the number of the version that came of it, if anything was written.
pub(super) async fn carry_out(
    vaults: &Vaults,
    tenant: &Tenant,
    ask: &Ask,
    survey: &mut Survey,
    plan: &Plan,
    tally: &mut Tally,
) -> Result<Option<u64>, ApiError> {
    let mut changes = BTreeMap::new();
    for name in plan.to_create.iter().chain(&plan.to_update) {
        let Some(value) = survey.contents.variables.get(name).and_then(|variable| variable.value.as_ref()) else {
            tally.fail(name, "The platform does not show its value.");
            continue;
        };
        match objection_to_name(name).or_else(|| objection_to_value(value)) {
            Some(objection) => tally.fail(name, format!("It {objection}.")),
            None => {
                changes.insert(name.clone(), Some(value.clone()));
            }
        }
    }
    changes.extend(plan.to_delete.iter().map(|name| (name.clone(), None)));
    let forgotten = survey.forgotten(Direction::Pull);
    vaults.links.remember(&mut survey.book, forgotten).await?;
    if changes.is_empty() {
        return Ok(None);
    }
    let place = (&ask.target.vault, &ask.target.environment);
    let entries: BTreeMap<String, Option<Entry>> = changes
        .iter()
        .map(|(name, value)| {
            let entry = |value| Entry { fingerprint: survey.fingerprints.of(name, value), marker: None };
            (name.clone(), value.as_ref().map(entry))
        })
        .collect();
    let names: Vec<String> = changes.keys().cloned().collect();
    match vaults.environments.edit(tenant, place, &ask.by, &Edit::Merge(changes)).await {
        Ok(environment) => {
            names.iter().for_each(|name| tally.done(plan, name));
            vaults.links.remember(&mut survey.book, entries).await?;
            Ok(Some(environment.number()))
        }
        Err(ApiError::PayloadTooLarge { what, limit }) => {
            tally.reason = Some(format!("{what} would be larger than {limit} bytes. Nothing was written."));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
