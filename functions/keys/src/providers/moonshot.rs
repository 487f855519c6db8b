//! Moonshot (Kimi): the balance proves a key.
//!
//! The platform in China and the international one have accounts and keys of their own; a key for China says so by its
//! `base_url`. The one counts in yuan, the other in dollars.

use serde_json::Value;
use shared::egress::{Answer, Upstream};

use super::row::{Row, entry, row};
use super::{exhausted, funded, judge, required, says};
use crate::model::{Amounts, Probe};

pub(super) static ROW: Row = Row {
    others: &[Upstream::MoonshotCn],
    amounts: Some(amounts),
    ..row(entry("moonshot", "Moonshot", Upstream::Moonshot, "/v1"), "/v1/users/me/balance", judge_balance)
};

fn amounts(answer: &Answer, upstream: Upstream) -> Option<Amounts> {
    let balance = required(&answer.json::<Value>()?, "/data/available_balance")?;
    let currency = if upstream == Upstream::MoonshotCn { "CNY" } else { "USD" };
    Some(Amounts { balance: Some(balance), currency: currency.into(), ..Amounts::default() })
}

fn judge_balance(label: &'static str, answer: &Answer) -> Probe {
    match answer.status {
        200..300 => funded(label, answer, amounts(answer, Upstream::Moonshot)),
        429 if says(answer, "exceeded_current_quota") => exhausted(label),
        _ => judge(label, answer, false),
    }
}
