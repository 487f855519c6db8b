//! Anthropic: the list of models proves a key; an admin key tells the costs of the organisation.
//!
//! A key that was disabled, and an admin key in the place of an ordinary one, is a 404 there. Used-up credit is 402, or 400
//! and 429 in words of its own. There is no balance to be had with any key. Costs come by the day, as texts in cents.

use http::Method;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::Value;
use shared::egress::{Answer, Egress, Upstream};

use super::row::{Place, Row, answered, failed, row, told};
use super::{
    API_KEY, Base, Credential, CredentialField, Entry, KeyProvider, Month, error_code, exhausted, number, refused, says,
};
use crate::model::{Amounts, Billing, Probe};

const ADMIN_KEY: CredentialField = CredentialField {
    name: "admin_key",
    label: "Admin key",
    help: "Only for the organisation's costs: a key that starts with sk-ant-admin, made by an admin of the organisation \
           in the console under Admin keys. Accounts of one person have none.",
    required: false,
};
const LABEL: &str = "Anthropic";
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");
const KEY_HEADER: &str = "x-api-key";
/// More days than a month has are never asked for, so this is more than enough.
const PAGES: usize = 4;

static ROW: Row = {
    let entry = Entry {
        name: "anthropic",
        label: LABEL,
        fields: &[API_KEY, ADMIN_KEY],
        base: Some(Base { upstream: Upstream::Anthropic, prefix: "/v1" }),
    };
    let mut row = row(entry, "/v1/models?limit=1", judge);
    row.proof.place = Place::Header(KEY_HEADER);
    row.proof.headers = &[VERSION];
    row.speaks_openai = false;
    row
};

pub(super) struct Anthropic;

#[async_trait::async_trait]
impl KeyProvider for Anthropic {
    fn entry(&self) -> &Entry {
        &ROW.entry
    }

    async fn probe(&self, key: &Credential<'_>, egress: &Egress) -> Probe {
        let api_key = key.field(API_KEY.name).map(ExposeSecret::expose_secret).unwrap_or_default();
        if api_key.starts_with("sk-ant-admin") {
            return Probe::inconclusive(format!(
                "This is an admin key of {LABEL}, which calls no models. Save an ordinary key as api_key and this one as \
                 admin_key"
            ));
        }
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
        let start = month.start.to_string();
        let (mut today, mut whole) = (0.0, 0.0);
        let mut page: Option<String> = None;
        for _ in 0..PAGES {
            let mut query = vec![("starting_at", start.as_str()), ("bucket_width", "1d"), ("limit", "31")];
            query.extend(page.as_deref().map(|page| ("page", page)));
            let request = egress.upstream(Method::GET, upstream, "/v1/organizations/cost_report").query(&query);
            let request = request.secret_header(KEY_HEADER, admin_key).header(VERSION.0, VERSION.1);
            let answer = match answered(LABEL, request).await {
                Ok(answer) => answer,
                Err(probe) => return failed(probe),
            };
            let told = told(LABEL, &answer, |answer| {
                let body: Value = answer.json()?;
                for day in body.get("data")?.as_array()? {
                    let started: Timestamp = day.get("starting_at")?.as_str()?.parse().ok()?;
                    let cents = cents(day)?;
                    whole += cents;
                    today += if started >= month.today { cents } else { 0.0 };
                }
                let more = body.get("has_more").and_then(Value::as_bool).unwrap_or_default();
                page = body.get("next_page").and_then(Value::as_str).map(str::to_owned).filter(|_| more);
                if more && page.is_none() {
                    return None;
                }
                let (today, whole) = (Some(today / 100.0), Some(whole / 100.0));
                Some(Amounts { balance: None, used_today: today, used_month: whole, currency: "USD".into() })
            });
            if page.is_none() || !matches!(told, Billing::Told(_)) {
                return told;
            }
        }
        Billing::Failed(format!("{LABEL} told more pages of costs than a month has."))
    }
}

/// One day's costs. They are in dollars whatever the account pays in; anything else cannot be added up.
fn cents(day: &Value) -> Option<f64> {
    day.get("results")?.as_array()?.iter().try_fold(0.0, |sum, result| {
        let is_dollars = result.get("currency").and_then(Value::as_str).is_none_or(|it| it.eq_ignore_ascii_case("usd"));
        if is_dollars { Some(sum + number(result.get("amount")?)?) } else { None }
    })
}

/// Reads an answer to the list of models.
fn judge(label: &'static str, answer: &Answer) -> Probe {
    let is_list = answer.json::<Value>().is_some_and(|body| body.get("data").is_some_and(Value::is_array));
    let code = error_code(answer).unwrap_or_default();
    match (answer.status, code.as_str()) {
        (404, "not_found_error") => refused(label),
        (400, _) if says(answer, "credit balance is too low") || says(answer, "reached your specified") => {
            exhausted(label)
        }
        (429, _) if says(answer, "enforced_spend_limit_reached") => exhausted(label),
        (401, code) if code != "authentication_error" => {
            Probe::inconclusive(format!("{label} refused the key without saying that it is wrong"))
        }
        _ => super::judge(label, answer, is_list),
    }
}
