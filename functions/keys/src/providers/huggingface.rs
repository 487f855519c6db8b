//! Hugging Face: who the key belongs to proves it.

use serde_json::Value;
use shared::egress::{Answer, Upstream};

use super::judge;
use super::row::{Row, entry, row};
use crate::model::Probe;

pub(super) static ROW: Row =
    row(entry("huggingface", "Hugging Face", Upstream::Huggingface, "/api"), "/api/whoami-v2", judge_whoami);

fn judge_whoami(label: &'static str, answer: &Answer) -> Probe {
    let is_somebody = answer.json::<Value>().is_some_and(|body| body.get("name").is_some_and(Value::is_string));
    judge(label, answer, is_somebody)
}
