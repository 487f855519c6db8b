//! ElevenLabs: the subscription proves a key and tells what is left of it, in characters.
//!
//! Statuses say little: what counts is the word in `detail.status`. A key without the right to read the subscription is
//! known all the same.

use jiff::Timestamp;
use serde_json::Value;
use shared::egress::{Answer, Egress, Upstream};

use super::row::{Place, Row, Site, entry, failed, row, told};
use super::{API_KEY, Credential, Entry, KeyProvider, exhausted, incomplete, judge, refused, required, unexpected};
use crate::model::{Amounts, Billing, Probe};

static ROW: Row = {
    let entry = entry("elevenlabs", "ElevenLabs", Upstream::Elevenlabs, "/v1");
    let mut row = row(entry, "/v1/user/subscription", judge_subscription);
    row.proof.place = Place::Header("xi-api-key");
    row.speaks_openai = false;
    row
};

pub(super) struct Elevenlabs;

#[async_trait::async_trait]
impl KeyProvider for Elevenlabs {
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
        let Some(api_key) = key.field(API_KEY.name) else { return failed(incomplete(API_KEY.name)) };
        match ROW.ask(&Site::Own(upstream), api_key, egress).await {
            Ok(answer) if word(&answer).as_deref() == Some("missing_permissions") => Billing::NotTold(format!(
                "The key may not read its subscription; give it the right user_read at {}.",
                ROW.entry.label
            )),
            Ok(answer) => told(ROW.entry.label, &answer, amounts),
            Err(probe) => failed(probe),
        }
    }
}

fn word(answer: &Answer) -> Option<String> {
    Some(answer.json::<Value>()?.pointer("/detail/status")?.as_str()?.to_owned())
}

fn amounts(answer: &Answer) -> Option<Amounts> {
    let body: Value = answer.json()?;
    let left = required(&body, "/character_limit")? - required(&body, "/character_count")?;
    Some(Amounts { balance: Some(left), currency: "characters".into(), ..Amounts::default() })
}

fn judge_subscription(label: &'static str, answer: &Answer) -> Probe {
    if answer.is_success() {
        let may_exceed = answer
            .json::<Value>()
            .and_then(|body| body.get("can_extend_character_limit")?.as_bool())
            .unwrap_or_default();
        return match amounts(answer) {
            Some(Amounts { balance: Some(..=0.0), .. }) if !may_exceed => exhausted(label),
            Some(_) => Probe::valid(),
            None => unexpected(label, answer),
        };
    }
    match (answer.status, word(answer).as_deref()) {
        (400 | 401, Some("invalid_api_key")) => refused(label),
        (401, Some("missing_permissions")) => {
            Probe::limited(format!("{label} accepts the key, but it may not read its subscription."))
        }
        (401, Some("quota_exceeded")) => exhausted(label),
        (401, _) => Probe::inconclusive(format!("{label} refused the key without saying that it is wrong")),
        _ => judge(label, answer, false),
    }
}
