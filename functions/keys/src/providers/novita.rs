//! Novita: the balance proves a key. It comes as texts, in ten-thousandths of a dollar.

use serde_json::Value;
use shared::egress::{Answer, Upstream};

use super::row::{Row, entry, row};
use super::{exhausted, funded, judge, required};
use crate::model::{Amounts, Probe};

/// Of the provider's units in a dollar.
const UNITS: f64 = 10_000.0;

pub(super) static ROW: Row = Row {
    amounts: Some(amounts),
    ..row(
        entry("novita", "Novita", Upstream::Novita, "/openai/v1"),
        "/openapi/v1/billing/balance/detail",
        judge_balance,
    )
};

fn amounts(answer: &Answer, _upstream: Upstream) -> Option<Amounts> {
    let units = required(&answer.json::<Value>()?, "/availableBalance")?;
    Some(Amounts { balance: Some(units / UNITS), currency: "USD".into(), ..Amounts::default() })
}

fn judge_balance(label: &'static str, answer: &Answer) -> Probe {
    let reason = || answer.json::<Value>().and_then(|body| Some(body.get("reason")?.as_str()?.to_owned()));
    match answer.status {
        200..300 => funded(label, answer, amounts(answer, Upstream::Novita)),
        403 if reason().as_deref() == Some("NOT_ENOUGH_BALANCE") => exhausted(label),
        _ => judge(label, answer, false),
    }
}
