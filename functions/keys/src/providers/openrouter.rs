//! OpenRouter: the key tells of itself, of its usage and of its own cap.
//!
//! Its list of models is open to everybody and proves nothing. A key without a cap of its own has no `limit_remaining`:
//! what is left then is the account's, which only a management key may ask for. Usage by day and month is counted in UTC.

use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use shared::egress::{Answer, Egress, Upstream};

use super::row::{Row, answered, failed, row, told};
use super::{
    API_KEY, Base, Credential, CredentialField, Entry, KeyProvider, exhausted, judge, optional, required, says,
    unexpected,
};
use crate::model::{Amounts, Billing, Probe};

const MANAGEMENT_KEY: CredentialField = CredentialField {
    name: "management_key",
    label: "Management key",
    help: "Only for the account's balance: a management key, made in the settings under Management keys.",
    required: false,
};
const LABEL: &str = "OpenRouter";

static ROW: Row = Row {
    amounts: Some(amounts),
    ..row(
        Entry {
            name: "openrouter",
            label: LABEL,
            fields: &[API_KEY, MANAGEMENT_KEY],
            base: Some(Base { upstream: Upstream::Openrouter, prefix: "/api/v1" }),
        },
        "/api/v1/key",
        judge_key,
    )
};

pub(super) struct Openrouter;

#[async_trait::async_trait]
impl KeyProvider for Openrouter {
    fn entry(&self) -> &Entry {
        &ROW.entry
    }

    async fn probe(&self, key: &Credential<'_>, egress: &Egress) -> Probe {
        ROW.probe(key, egress).await
    }

    /// What is left is what this key can still spend: under its own cap, and of the account's credits where they are
    /// known.
    async fn billing(&self, key: &Credential<'_>, egress: &Egress, now: Timestamp) -> Billing {
        let (own, management_key) = match (ROW.billing(key, egress, now).await, key.field(MANAGEMENT_KEY.name)) {
            (Billing::Told(own), Some(management_key)) => (own, management_key),
            (billing, _) => return billing,
        };
        let request = egress.upstream(Method::GET, Upstream::Openrouter, "/api/v1/credits").bearer(management_key);
        match answered(LABEL, request).await {
            Ok(answer) => told(LABEL, &answer, |answer| {
                let credits = credits(&answer.json()?)?;
                let balance = own.balance.map_or(credits, |own| own.min(credits));
                Some(Amounts { balance: Some(balance), ..own })
            }),
            Err(probe) => failed(probe),
        }
    }
}

fn credits(body: &Value) -> Option<f64> {
    Some(required(body, "/data/total_credits")? - required(body, "/data/total_usage")?)
}

fn amounts(answer: &Answer, _upstream: Upstream) -> Option<Amounts> {
    let body: Value = answer.json()?;
    required(&body, "/data/usage")?;
    Some(Amounts {
        balance: optional(&body, "/data/limit_remaining")?,
        used_today: optional(&body, "/data/usage_daily")?,
        used_month: optional(&body, "/data/usage_monthly")?,
        currency: "USD".into(),
    })
}

fn judge_key(label: &'static str, answer: &Answer) -> Probe {
    if answer.is_success() {
        let body: Value = answer.json().unwrap_or_default();
        let manages = body.pointer("/data/is_management_key").and_then(Value::as_bool).unwrap_or_default();
        return match amounts(answer, Upstream::Openrouter) {
            None => unexpected(label, answer),
            Some(_) if manages => {
                Probe::limited(format!("{label} accepts the key, but it is a management key, which calls no models."))
            }
            Some(Amounts { balance: Some(..=0.0), .. }) => exhausted(label),
            Some(_) => Probe::valid(),
        };
    }
    if answer.status == 402 && says(answer, "in_flight_budget_exhausted") {
        return Probe::throttled(format!("{label} has too many calls under way with the key"), answer.retry_after());
    }
    judge(label, answer, false)
}
