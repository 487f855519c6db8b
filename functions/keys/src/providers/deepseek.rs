//! DeepSeek: the balance proves a key. It comes as texts, one for each currency the account has.

use serde_json::Value;
use shared::egress::{Answer, Upstream};

use super::row::{Row, entry, row};
use super::{exhausted, judge, required, unexpected};
use crate::model::{Amounts, Probe};

pub(super) static ROW: Row = Row {
    amounts: Some(amounts),
    ..row(entry("deepseek", "DeepSeek", Upstream::Deepseek, ""), "/user/balance", judge_balance)
};

/// The balance in dollars if the account has any, else the first in another currency that has some.
fn amounts(answer: &Answer, _upstream: Upstream) -> Option<Amounts> {
    let body: Value = answer.json()?;
    let balances: Option<Vec<(String, f64)>> = body
        .get("balance_infos")?
        .as_array()?
        .iter()
        .map(|info| Some((info.get("currency")?.as_str()?.to_owned(), required(info, "/total_balance")?)))
        .collect();
    let mut balances = balances?;
    balances.sort_by_key(|(currency, balance)| (*balance == 0.0, currency != "USD"));
    let (currency, balance) = balances.into_iter().next()?;
    Some(Amounts { balance: Some(balance), currency, ..Amounts::default() })
}

fn judge_balance(label: &'static str, answer: &Answer) -> Probe {
    if !answer.is_success() {
        return judge(label, answer, false);
    }
    let available = answer.json::<Value>().and_then(|body| body.get("is_available")?.as_bool());
    match available {
        Some(true) => Probe::valid(),
        Some(false) => exhausted(label),
        None => unexpected(label, answer),
    }
}
