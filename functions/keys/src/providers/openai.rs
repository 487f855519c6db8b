//! OpenAI: the list of models proves a key; an admin key tells the costs of the organisation.
//!
//! Its 401 repeats a part of the key and can also mean that this server's address is not on the key's list, so only its
//! code is read. Used-up credit is a 429 with a code of its own; a key without the right to list models is a 403 that names
//! the missing scope. There is no balance to be had with any key. Costs come by the day, in dollars.

use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use shared::egress::{Answer, Egress, Upstream};

use super::openai_compatible::judge_list;
use super::row::{Row, answered, failed, row};
use super::{
    API_KEY, Base, Credential, CredentialField, Entry, KeyProvider, Month, error_code, exhausted, number, refused, says,
};
use crate::model::{Amounts, Billing, Probe};

const ADMIN_KEY: CredentialField = CredentialField {
    name: "admin_key",
    label: "Admin key",
    help: "Only for the organisation's costs: a key that starts with sk-admin-, made by an owner of the organisation \
           under Settings > Admin keys.",
    required: false,
};
const LABEL: &str = "OpenAI";
/// More days than a month has are never asked for, so this is more than enough.
const PAGES: usize = 4;

static ROW: Row = row(
    Entry {
        name: "openai",
        label: LABEL,
        fields: &[API_KEY, ADMIN_KEY],
        base: Some(Base { upstream: Upstream::Openai, prefix: "/v1" }),
    },
    "/v1/models",
    judge,
);

pub(super) struct Openai;

#[async_trait::async_trait]
impl KeyProvider for Openai {
    fn entry(&self) -> &Entry {
        &ROW.entry
    }

    async fn probe(&self, key: &Credential<'_>, egress: &Egress) -> Probe {
        ROW.probe(key, egress).await
    }

    async fn billing(&self, key: &Credential<'_>, egress: &Egress, now: Timestamp) -> Billing {
        let upstream = match ROW.own_site(key) {
            Ok(upstream) => upstream,
            Err(billing) => return billing,
        };
        let Some(admin_key) = key.field(ADMIN_KEY.name) else {
            return Billing::NotTold(format!("{LABEL} tells costs to an admin key only; save one as admin_key."));
        };
        let month = Month::of(now);
        let start = month.start.as_second().to_string();
        let mut costs = Costs::default();
        let mut page: Option<String> = None;
        for _ in 0..PAGES {
            let mut query = vec![("start_time", start.as_str()), ("bucket_width", "1d"), ("limit", "31")];
            query.extend(page.as_deref().map(|page| ("page", page)));
            let request = egress.upstream(Method::GET, upstream, "/v1/organization/costs").query(&query);
            let answer = match answered(LABEL, request.bearer(admin_key)).await {
                Ok(answer) => answer,
                Err(probe) => return failed(probe),
            };
            let told = super::row::told(LABEL, &answer, |answer| {
                page = costs.add(&answer.json()?, &month)?;
                Some(costs.amounts())
            });
            if page.is_none() || !matches!(told, Billing::Told(_)) {
                return told;
            }
        }
        Billing::Failed(format!("{LABEL} told more pages of costs than a month has."))
    }
}

/// Costs by the day, added up.
#[derive(Debug, Default)]
struct Costs {
    today: f64,
    month: f64,
    currency: Option<String>,
}

impl Costs {
    /// Adds a page of days. `None` if it cannot be read, else the name of the next one, if there is one.
    fn add(&mut self, page: &Value, month: &Month) -> Option<Option<String>> {
        for day in page.get("data")?.as_array()? {
            let start = day.get("start_time")?.as_i64()?;
            for result in day.get("results")?.as_array()? {
                let value = number(result.pointer("/amount/value")?)?;
                let currency = result.pointer("/amount/currency")?.as_str()?.to_ascii_uppercase();
                if self.currency.get_or_insert_with(|| currency.clone()) != &currency {
                    return None;
                }
                self.month += value;
                if start >= month.today.as_second() {
                    self.today += value;
                }
            }
        }
        let more = page.get("has_more").and_then(Value::as_bool).unwrap_or_default();
        let next = page.get("next_page").and_then(Value::as_str).map(str::to_owned);
        if more && next.is_none() { None } else { Some(next.filter(|_| more)) }
    }

    fn amounts(&self) -> Amounts {
        let currency = self.currency.clone().unwrap_or_else(|| "USD".into());
        Amounts { balance: None, used_today: Some(self.today), used_month: Some(self.month), currency }
    }
}

/// Reads an answer to the list of models.
fn judge(label: &'static str, answer: &Answer) -> Probe {
    let code = error_code(answer).unwrap_or_default();
    match (answer.status, code.as_str()) {
        (401, "invalid_api_key" | "account_deactivated") => refused(label),
        (401, "ip_not_authorized") => {
            Probe::limited(format!("{label} accepts the key, but not from this server's address."))
        }
        (401, _) if says(answer, "ip not authorized") => {
            Probe::limited(format!("{label} accepts the key, but not from this server's address."))
        }
        (401, _) => Probe::inconclusive(format!("{label} refused the key without saying that it is wrong")),
        (403, "missing_scope") => missing_scope(label),
        (403, _) if says(answer, "missing scopes") => missing_scope(label),
        (
            429,
            "insufficient_quota"
            | "credit_balance_exhausted"
            | "organization_spend_limit_exceeded"
            | "project_spend_limit_exceeded"
            | "billing_not_active"
            | "billing_hard_limit_reached",
        ) => exhausted(label),
        _ => judge_list(label, answer),
    }
}

fn missing_scope(label: &str) -> Probe {
    Probe::limited(format!("{label} accepts the key, but it lacks the right to list models."))
}
