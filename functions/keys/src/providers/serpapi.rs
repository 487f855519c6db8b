//! SerpApi: the account proves a key and tells its searches. It is free and not counted.
//!
//! The key stands in the query, and the answer repeats it, so neither goes anywhere else. A 403 means that the account was
//! deleted.

use serde_json::Value;
use shared::egress::{Answer, Upstream};

use super::row::{Place, Row, entry, row};
use super::{funded, judge, optional, required};
use crate::model::{Amounts, Probe};

pub(super) static ROW: Row = {
    let mut row = row(entry("serpapi", "SerpApi", Upstream::Serpapi, ""), "/account.json", judge_account);
    row.proof.place = Place::Query("api_key");
    row.speaks_openai = false;
    row.amounts = Some(amounts);
    row
};

fn amounts(answer: &Answer, _upstream: Upstream) -> Option<Amounts> {
    let body: Value = answer.json()?;
    Some(Amounts {
        balance: Some(required(&body, "/total_searches_left")?),
        used_today: None,
        used_month: optional(&body, "/this_month_usage")?,
        currency: "searches".into(),
    })
}

fn judge_account(label: &'static str, answer: &Answer) -> Probe {
    match answer.status {
        200..300 => funded(label, answer, amounts(answer, Upstream::Serpapi)),
        403 if answer.json::<Value>().is_some_and(|body| body.get("error").is_some()) => {
            Probe::invalid(format!("{label} says that the account of the key was deleted. Save a key of another."))
        }
        _ => judge(label, answer, false),
    }
}
