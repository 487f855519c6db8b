//! `POST /api/v1/integrations/sync-billing[?provider_name=]`: asks providers for balances and usage now.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Query};
use utoipa::ToSchema;

use super::input;
use super::wire::iso;
use crate::Group;
use crate::billing::Synced;
use crate::model::{Billing, KeyId};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SyncedBilling)]
pub(super) struct Answer {
    success: bool,
    synced: usize,
    failed: usize,
    results: Vec<Row>,
    /// By currency.
    totals: Vec<Total>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BillingOfIntegration)]
struct Row {
    integration_id: KeyId,
    provider_name: String,
    /// `synced`, `failed`, `not_supported` or, for want of time, `skipped`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
    #[schema(required = true)]
    cached_balance: Option<f64>,
    #[schema(required = true)]
    cached_usage_today: Option<f64>,
    #[schema(required = true)]
    cached_usage_month: Option<f64>,
    #[schema(required = true)]
    cached_currency: Option<String>,
    #[schema(required = true, format = DateTime)]
    billing_synced_at: Option<String>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = BillingTotal)]
struct Total {
    currency: String,
    #[schema(required = true)]
    balance: Option<f64>,
    #[schema(required = true)]
    usage_today: Option<f64>,
    #[schema(required = true)]
    usage_month: Option<f64>,
}

/// Asks providers for balances and usage now.
#[utoipa::path(
    post,
    path = "/api/v1/integrations/sync-billing",
    tag = "money",
    security(("bearer" = ["keys:write"])),
    params(
        ("provider_name" = Option<String>, Query, description = "Of this provider only.", min_length = 1, max_length = 64, pattern = "^[a-z0-9_-]+$"),
    ),
    responses(
        (status = 200, description = "What each provider told.", body = Answer),
    ),
)]
pub(super) async fn sync_billing(
    State(group): State<Group>,
    caller: Caller<needs::KeysWrite>,
    mut query: Query,
) -> Result<Json<Answer>, ApiError> {
    let provider = query.parsed("provider_name", input::PROVIDER, input::provider);
    query.finish()?;
    let synced = group.sync_all(caller.tenant(), provider.as_deref()).await?;
    let totals = totals(&synced);
    let results: Vec<Row> = synced.into_iter().map(Row::of).collect();
    let count = |status| results.iter().filter(|row| row.status == status).count();
    Ok(Json(Answer { success: true, synced: count("synced"), failed: count("failed"), results, totals }))
}

impl Row {
    fn of(synced: Synced) -> Self {
        let (status, message) = match synced.billing {
            Some(Billing::Told(_)) => ("synced", None),
            Some(Billing::NotTold(reason)) => ("not_supported", Some(reason)),
            Some(Billing::Failed(reason)) => ("failed", Some(reason)),
            None => ("skipped", Some("There was no time left to ask; ask again for this provider alone.".into())),
        };
        let told = synced.key.billing;
        let amounts = told.as_ref().map(|told| &told.amounts);
        Self {
            integration_id: synced.key.id,
            provider_name: synced.key.provider,
            status,
            message,
            cached_balance: amounts.and_then(|amounts| amounts.balance),
            cached_usage_today: amounts.and_then(|amounts| amounts.used_today),
            cached_usage_month: amounts.and_then(|amounts| amounts.used_month),
            cached_currency: amounts.map(|amounts| amounts.currency.clone()),
            billing_synced_at: told.as_ref().map(|told| iso(told.at)),
        }
    }
}

/// Sums over what was told now; what nobody told is null, not 0.
fn totals(synced: &[Synced]) -> Vec<Total> {
    let mut totals: BTreeMap<&str, Total> = BTreeMap::new();
    for one in synced {
        let Some(Billing::Told(amounts)) = &one.billing else { continue };
        let total = totals.entry(&amounts.currency).or_default();
        total.currency.clone_from(&amounts.currency);
        for (sum, amount) in [
            (&mut total.balance, amounts.balance),
            (&mut total.usage_today, amounts.used_today),
            (&mut total.usage_month, amounts.used_month),
        ] {
            *sum = amount.map_or(*sum, |amount| Some(sum.unwrap_or_default() + amount));
        }
    }
    totals.into_values().collect()
}
