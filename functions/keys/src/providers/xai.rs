//! xAI: the key tells of itself; a management key tells the team's prepaid balance.
//!
//! A bad key is a 400 there. The balance is another host's, of the team that the key names; it is in cents, as text, with
//! the sign turned round, and only what has been posted counts.

use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use shared::egress::{Answer, Egress, Upstream};

use super::row::{Row, Site, answered, failed, row, told};
use super::{
    API_KEY, Base, Credential, CredentialField, Entry, KeyProvider, exhausted, incomplete, judge, refused, required,
    says, segment, unexpected,
};
use crate::model::{Amounts, Billing, Probe};

const MANAGEMENT_KEY: CredentialField = CredentialField {
    name: "management_key",
    label: "Management key",
    help: "Only for the team's prepaid balance: a management key, made in the console under Settings > Management keys.",
    required: false,
};
const LABEL: &str = "xAI";

static ROW: Row = row(
    Entry {
        name: "xai",
        label: LABEL,
        fields: &[API_KEY, MANAGEMENT_KEY],
        base: Some(Base { upstream: Upstream::Xai, prefix: "/v1" }),
    },
    "/v1/api-key",
    judge_key,
);

pub(super) struct Xai;

#[async_trait::async_trait]
impl KeyProvider for Xai {
    fn entry(&self) -> &Entry {
        &ROW.entry
    }

    async fn probe(&self, key: &Credential<'_>, egress: &Egress) -> Probe {
        ROW.probe(key, egress).await
    }

    async fn billing(&self, key: &Credential<'_>, egress: &Egress, _now: Timestamp) -> Billing {
        let upstream = match ROW.own_site(key) {
            Ok(upstream) => upstream,
            Err(billing) => return billing,
        };
        let Some(management_key) = key.field(MANAGEMENT_KEY.name) else {
            return Billing::NotTold(format!(
                "{LABEL} tells balances to a management key only; save one as management_key."
            ));
        };
        let Some(api_key) = key.field(API_KEY.name) else { return failed(incomplete(API_KEY.name)) };
        let team = match ROW.ask(&Site::Own(upstream), api_key, egress).await {
            Ok(answer) if answer.is_success() => {
                answer.json::<Value>().and_then(|body| Some(body.get("team_id")?.as_str()?.to_owned()))
            }
            Ok(answer) => return failed(unexpected(LABEL, &answer)),
            Err(probe) => return failed(probe),
        };
        let Some(team) = team else {
            return Billing::Failed(format!("{LABEL} did not tell which team the key is of."));
        };
        let path = format!("/v1/billing/teams/{}/prepaid/balance", segment(&team));
        let request = egress.upstream(Method::GET, Upstream::XaiManagement, &path).bearer(management_key);
        match answered(LABEL, request).await {
            Ok(answer) => told(LABEL, &answer, |answer| {
                let cents = required(&answer.json()?, "/total/val")?;
                Some(Amounts { balance: Some(-cents / 100.0), currency: "USD".into(), ..Amounts::default() })
            }),
            Err(probe) => failed(probe),
        }
    }
}

fn judge_key(label: &'static str, answer: &Answer) -> Probe {
    let body: Value = answer.json().unwrap_or_default();
    let is = |name: &str| body.get(name).and_then(Value::as_bool);
    match answer.status {
        200..300 if is("api_key_disabled") == Some(true) || is("api_key_blocked") == Some(true) => {
            Probe::invalid(format!("{label} has the key switched off. Switch it on in the console, or rotate it."))
        }
        200..300 if is("team_blocked") == Some(true) => exhausted(label),
        200..300 if is("api_key_blocked").is_some() => Probe::valid(),
        400 if says(answer, "incorrect api key") => refused(label),
        402 | 429 if says(answer, "credits") => exhausted(label),
        _ => judge(label, answer, false),
    }
}
