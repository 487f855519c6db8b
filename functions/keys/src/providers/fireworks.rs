//! Fireworks: the list of accounts proves a key, and names the account whose bills tell what was used.
//!
//! A suspended account is a 412. There is no balance to be had. Costs are whole units and billionths.

use http::Method;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use shared::egress::{Answer, Egress, Upstream};

use super::row::{Row, Site, answered, entry, failed, row};
use super::{API_KEY, Credential, Entry, KeyProvider, Month, incomplete, judge, number, refused, unexpected};
use crate::model::{Amounts, Billing, Probe};

const LABEL: &str = "Fireworks";

static ROW: Row = row(entry("fireworks", LABEL, Upstream::Fireworks, "/inference/v1"), "/v1/accounts", judge_accounts);

pub(super) struct Fireworks;

#[async_trait::async_trait]
impl KeyProvider for Fireworks {
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
        let Some(api_key) = key.field(API_KEY.name) else { return failed(incomplete(API_KEY.name)) };
        let accounts = match ROW.ask(&Site::Own(upstream), api_key, egress).await {
            Ok(answer) if answer.is_success() => answer.json::<Value>(),
            Ok(answer) => return failed(unexpected(LABEL, &answer)),
            Err(probe) => return failed(probe),
        };
        let Some(account) = accounts.as_ref().and_then(account) else {
            return Billing::Failed(format!("{LABEL} did not tell which account the key is of."));
        };
        let month = Month::of(now);
        let (today, whole) = (
            bill(egress, api_key, account, month.today, now).await,
            bill(egress, api_key, account, month.start, now).await,
        );
        match (today, whole) {
            (Ok((today, _)), Ok((whole, currency))) => Billing::Told(Amounts {
                balance: None,
                used_today: Some(today),
                used_month: Some(whole),
                currency: currency.unwrap_or_else(|| "USD".into()),
            }),
            (Err(billing), _) | (_, Err(billing)) => billing,
        }
    }
}

/// The name of the only account, such as `accounts/acme`; with several nothing tells which one pays for the key.
fn account(body: &Value) -> Option<&str> {
    let [account] = body.get("accounts")?.as_array()?.as_slice() else { return None };
    let is_plain = |name: &&str| {
        let slug = name.strip_prefix("accounts/").unwrap_or_default();
        !slug.is_empty() && slug.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '-' | '_'))
    };
    account.get("name")?.as_str().filter(is_plain)
}

/// What was used between two times, and its currency if anything was.
async fn bill(
    egress: &Egress,
    key: &SecretString,
    account: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<(f64, Option<String>), Billing> {
    let (from, to) = (from.to_string(), to.to_string());
    let path = format!("/v1/{account}/billing/summary");
    let request = egress.upstream(Method::GET, Upstream::Fireworks, &path).bearer(key);
    let answer = answered(LABEL, request.query(&[("startTime", &from), ("endTime", &to)])).await.map_err(failed)?;
    match answer.status {
        200..300 => answer
            .json()
            .as_ref()
            .and_then(total)
            .ok_or_else(|| Billing::Failed(format!("{LABEL} told of money in a way that cannot be read."))),
        403 => Err(Billing::NotTold(format!("The key may not read the bills of its account at {LABEL}."))),
        _ => Err(failed(unexpected(LABEL, &answer))),
    }
}

/// The sum of a bill's lines. An account that used nothing has none.
fn total(body: &Value) -> Option<(f64, Option<String>)> {
    let mut currency: Option<String> = None;
    let mut sum = 0.0;
    for line in body.get("lineItems")?.as_array()? {
        let cost = line.get("totalCost")?;
        let part = |name: &str| cost.get(name).map_or(Some(0.0), number);
        let of_line = cost.get("currencyCode")?.as_str()?;
        if currency.get_or_insert_with(|| of_line.to_owned()) != of_line {
            return None;
        }
        sum += part("units")? + part("nanos")? / 1e9;
    }
    Some((sum, currency))
}

fn judge_accounts(label: &'static str, answer: &Answer) -> Probe {
    let body: Value = answer.json().unwrap_or_default();
    match answer.status {
        403 if body.get("code").is_some() => refused(label),
        412 if body.is_object() => {
            Probe::exhausted(format!("{label} knows the key, but its account is suspended. See to its bills."))
        }
        _ => judge(label, answer, body.get("accounts").is_some_and(Value::is_array)),
    }
}
