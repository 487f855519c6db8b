//! Cohere: has a call to check a key, which costs nothing.

use serde_json::Value;
use shared::egress::{Answer, Upstream};

use super::row::{Row, Verb, entry, row};
use super::{judge, refused};
use crate::model::Probe;

pub(super) static ROW: Row = {
    let mut row = row(entry("cohere", "Cohere", Upstream::Cohere, "/v1"), "/v1/check-api-key", judge_check);
    row.proof.verb = Verb::Post;
    row.speaks_openai = false;
    row
};

fn judge_check(label: &'static str, answer: &Answer) -> Probe {
    let valid = answer.json::<Value>().and_then(|body| body.get("valid")?.as_bool());
    match (answer.status, valid) {
        (200..300, Some(false)) => refused(label),
        _ => judge(label, answer, valid == Some(true)),
    }
}
