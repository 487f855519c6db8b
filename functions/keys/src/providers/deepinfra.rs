//! DeepInfra: the state of the account's payments proves a key and tells what is left; its list of models is open.
//!
//! What was paid ahead is a negative balance, in dollars, before what was used since the last invoice. An account that
//! pays afterwards has none. The month's costs are another call's, in cents. A key that may not read payments is judged by
//! a completion that cannot be given, as Perplexity's is.

use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use shared::egress::{Answer, Egress, Upstream};

use super::row::{Row, Site, answered, entry, failed, row, told};
use super::{
    API_KEY, Credential, Entry, KeyProvider, exhausted, incomplete, judge, openai_compatible, required, unexpected,
};
use crate::model::{Amounts, Billing, Probe};

const LABEL: &str = "DeepInfra";
const ENTRY: Entry = entry("deepinfra", LABEL, Upstream::Deepinfra, "/v1/openai");

static ROW: Row = row(ENTRY, "/payment/checklist?compute_owed=true", judge_checklist);
static WITHOUT_PAYMENTS: Row =
    openai_compatible::no_such_model(ENTRY, "/v1/openai/chat/completions", openai_compatible::judge_completion);

pub(super) struct Deepinfra;

#[async_trait::async_trait]
impl KeyProvider for Deepinfra {
    fn entry(&self) -> &Entry {
        &ROW.entry
    }

    async fn probe(&self, key: &Credential<'_>, egress: &Egress) -> Probe {
        let Some(api_key) = key.field(API_KEY.name) else { return incomplete(API_KEY.name) };
        match ROW.site(key) {
            Ok(site @ Site::Own(_)) => match ROW.ask(&site, api_key, egress).await {
                Ok(answer) if answer.status == 403 => WITHOUT_PAYMENTS.probe(key, egress).await,
                Ok(answer) => judge_checklist(LABEL, &answer),
                Err(probe) => probe,
            },
            _ => ROW.probe(key, egress).await,
        }
    }

    async fn billing(&self, key: &Credential<'_>, egress: &Egress, _now: Timestamp) -> Billing {
        let upstream = match ROW.own_site(key) {
            Ok(upstream) => upstream,
            Err(billing) => return billing,
        };
        let Some(api_key) = key.field(API_KEY.name) else { return failed(incomplete(API_KEY.name)) };
        let balance = match ROW.ask(&Site::Own(upstream), api_key, egress).await {
            Ok(answer) if answer.status == 403 => {
                return Billing::NotTold(format!("The key may not read the payments of its account at {LABEL}."));
            }
            Ok(answer) => match told(LABEL, &answer, balance) {
                Billing::Told(balance) => balance,
                billing => return billing,
            },
            Err(probe) => return failed(probe),
        };
        let usage = egress.upstream(Method::GET, upstream, "/payment/usage?from=current").bearer(api_key);
        match answered(LABEL, usage).await {
            Ok(answer) => told(LABEL, &answer, |answer| {
                Some(Amounts { used_month: Some(used_this_month(&answer.json()?)?), ..balance })
            }),
            Err(probe) => failed(probe),
        }
    }
}

fn balance(answer: &Answer) -> Option<Amounts> {
    let body: Value = answer.json()?;
    let (paid, recent) = (required(&body, "/stripe_balance")?, required(&body, "/recent")?);
    let balance = (paid < 0.0).then_some(-(paid + recent));
    Some(Amounts { balance, currency: "USD".into(), ..Amounts::default() })
}

fn used_this_month(body: &Value) -> Option<f64> {
    match body.get("months")?.as_array()?.last() {
        Some(month) => Some(required(month, "/total_cost")? / 100.0),
        None => Some(0.0),
    }
}

fn judge_checklist(label: &'static str, answer: &Answer) -> Probe {
    if !answer.is_success() {
        return judge(label, answer, false);
    }
    let suspended = answer.json::<Value>().and_then(|body| body.get("suspended")?.as_bool()).unwrap_or_default();
    match balance(answer) {
        None => unexpected(label, answer),
        Some(_) if suspended => exhausted(label),
        Some(Amounts { balance: Some(..=0.0), .. }) => exhausted(label),
        Some(_) => Probe::valid(),
    }
}
