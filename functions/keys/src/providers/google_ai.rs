//! Google's Gemini API: the list of models proves a key.
//!
//! A bad key is a 400 with a reason of its own. A 403 says of a known key what it may not do: its restrictions, or an API
//! that the project has not switched on. One that Google has found published is a 403 too, and will never work again.

use serde_json::Value;
use shared::egress::{Answer, Upstream};

use super::row::{Place, Row, entry, row};
use super::{judge, refused, says};
use crate::model::Probe;

pub(super) static ROW: Row = {
    let entry = entry("google_ai", "Google AI", Upstream::GoogleAi, "/v1beta");
    let mut row = row(entry, "/v1beta/models?pageSize=1", judge_models);
    row.proof.place = Place::Header("x-goog-api-key");
    row.speaks_openai = false;
    row
};

fn judge_models(label: &'static str, answer: &Answer) -> Probe {
    let body: Value = answer.json().unwrap_or_default();
    match (answer.status, reason(&body)) {
        (400, Some("API_KEY_INVALID" | "API_KEY_EXPIRED")) => refused(label),
        (400, _) if says(answer, "api key not valid") || says(answer, "api key expired") => refused(label),
        (403, _) if says(answer, "reported as leaked") => Probe::invalid(format!(
            "{label} has switched the key off for good because it was found published. Make a new one."
        )),
        (403, Some(reason)) if reason.starts_with("API_KEY_") || reason == "SERVICE_DISABLED" => {
            Probe::limited(format!(
                "{label} knows the key, but its restrictions do not allow this call, or its project has not switched the \
             Generative Language API on."
            ))
        }
        _ => judge(label, answer, body.get("models").is_some_and(Value::is_array)),
    }
}

/// The reason in the details of an error.
fn reason(body: &Value) -> Option<&str> {
    body.pointer("/error/details")?.as_array()?.iter().find_map(|detail| detail.get("reason")?.as_str())
}
