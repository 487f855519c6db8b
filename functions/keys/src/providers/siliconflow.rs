//! SiliconFlow: the account proves a key and tells its balance, as text.
//!
//! A key for the international platform says so by its `base_url`; that one counts in dollars, the one in China in yuan.
//! Some models are free, so a key without a balance is of some use.

use serde_json::Value;
use shared::egress::{Answer, Upstream};

use super::row::{Row, entry, row};
use super::{exhausted, judge, required, unexpected};
use crate::model::{Amounts, Probe};

/// What it calls a balance that does not suffice.
const INSUFFICIENT: i64 = 30_001;

pub(super) static ROW: Row = Row {
    others: &[Upstream::SiliconflowCom],
    amounts: Some(amounts),
    ..row(entry("siliconflow", "SiliconFlow", Upstream::Siliconflow, "/v1"), "/v1/user/info", judge_info)
};

fn amounts(answer: &Answer, upstream: Upstream) -> Option<Amounts> {
    let balance = required(&answer.json::<Value>()?, "/data/totalBalance")?;
    let currency = if upstream == Upstream::SiliconflowCom { "USD" } else { "CNY" };
    Some(Amounts { balance: Some(balance), currency: currency.into(), ..Amounts::default() })
}

fn judge_info(label: &'static str, answer: &Answer) -> Probe {
    let code = || answer.json::<Value>().and_then(|body| body.get("code")?.as_i64());
    match answer.status {
        200..300 => match amounts(answer, Upstream::Siliconflow).and_then(|amounts| amounts.balance) {
            None => unexpected(label, answer),
            Some(balance) if balance < 0.0 => exhausted(label),
            Some(0.0) => {
                Probe::limited(format!("{label} accepts the key, but only for free models: its balance is 0."))
            }
            Some(_) => Probe::valid(),
        },
        403 if code() == Some(INSUFFICIENT) => exhausted(label),
        _ => judge(label, answer, false),
    }
}
