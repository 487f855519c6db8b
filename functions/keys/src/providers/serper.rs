//! Serper: the account proves a key and tells its credits. A bad key is a 403.

use serde_json::Value;
use shared::egress::{Answer, Upstream};

use super::row::{Place, Row, entry, row};
use super::{funded, judge, refused, required};
use crate::model::{Amounts, Probe};

pub(super) static ROW: Row = {
    let mut row = row(entry("serper", "Serper", Upstream::Serper, ""), "/account", judge_account);
    row.proof.place = Place::Header("x-api-key");
    row.speaks_openai = false;
    row.amounts = Some(amounts);
    row
};

/// The field is called `balance`; `credits` has been seen too.
fn amounts(answer: &Answer, _upstream: Upstream) -> Option<Amounts> {
    let body: Value = answer.json()?;
    let balance = required(&body, "/balance").or_else(|| required(&body, "/credits"))?;
    Some(Amounts { balance: Some(balance), currency: "credits".into(), ..Amounts::default() })
}

fn judge_account(label: &'static str, answer: &Answer) -> Probe {
    match answer.status {
        200..300 => funded(label, answer, amounts(answer, Upstream::Serper)),
        403 if answer.json::<Value>().is_some_and(|body| body.get("message").is_some()) => refused(label),
        _ => judge(label, answer, false),
    }
}
