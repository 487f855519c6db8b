//! Tavily: the usage proves a key and tells its credits.
//!
//! A key may have a limit of its own; without one the plan's counts, and what may be used beyond it.

use serde_json::Value;
use shared::egress::{Answer, Upstream};

use super::row::{Row, entry, row};
use super::{exhausted, funded, judge, optional, required};
use crate::model::{Amounts, Probe};

pub(super) static ROW: Row = {
    let mut row = row(entry("tavily", "Tavily", Upstream::Tavily, ""), "/usage", judge_usage);
    row.speaks_openai = false;
    row.amounts = Some(amounts);
    row
};

fn amounts(answer: &Answer, _upstream: Upstream) -> Option<Amounts> {
    let body: Value = answer.json()?;
    let left = |limit: &str, usage: &str| -> Option<Option<f64>> {
        let Some(limit) = optional(&body, limit)? else { return Some(None) };
        Some(Some(limit - required(&body, usage)?))
    };
    let used = required(&body, "/account/plan_usage")?;
    let of_key = left("/key/limit", "/key/usage")?;
    let of_plan = left("/account/plan_limit", "/account/plan_usage")?;
    let beyond = left("/account/paygo_limit", "/account/paygo_usage")?.unwrap_or_default().max(0.0);
    let of_account = of_plan.map(|left| left.max(0.0) + beyond);
    let balance = match (of_key, of_account) {
        (Some(of_key), Some(of_account)) => Some(of_key.min(of_account)),
        (of_key, of_account) => of_key.or(of_account),
    };
    Some(Amounts { balance, used_today: None, used_month: Some(used), currency: "credits".into() })
}

fn judge_usage(label: &'static str, answer: &Answer) -> Probe {
    match answer.status {
        200..300 => funded(label, answer, amounts(answer, Upstream::Tavily)),
        432 | 433 => exhausted(label),
        _ => judge(label, answer, false),
    }
}
