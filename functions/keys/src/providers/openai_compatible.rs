//! Providers that speak OpenAI's protocol and tell nothing of money, and whatever speaks it at a key's own address.
//!
//! Three kinds of proof, by provider:
//! - Groq and Mistral check the key where they list their models.
//! - Together and Cerebras are said to do so too, but it rests on reports: a made-up key goes first.
//! - Perplexity's and SambaNova's lists are open to everybody. There a completion of a model that does not exist is asked
//!   for, which nobody can be billed for: a bad key is refused before the model is looked at, so where a made-up key is
//!   refused and the real one hears of the model, the real one is good.
//!
//! At an address that only the key's owner knows, nothing is known of the rules, and many such servers give their list to
//! everybody: so a made-up key is shown first there too. Its being refused as 400 or 403 is enough, as servers differ.
//!
//! Particulars: Groq answers 400 to a key of a restricted organisation, which says nothing of the key itself. Mistral
//! tells a key without any allowance by a limit of 0 requests a minute. Perplexity's refusal is a web page, and its 401 may
//! also mean that the credit is used up.

use http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::IgnoredAny;
use shared::egress::{Answer, Egress, Upstream};
use url::Url;

use super::row::{Call, Place, Row, Verb, answered, entry, junk_key, row};
use super::{API_KEY, Entry, error_code, exhausted, is_page, judge, refused, says, under, unexpected};
use crate::model::Probe;

/// A completion that no provider can give.
const NO_SUCH_MODEL: &str =
    r#"{"model":"causeway-key-check","messages":[{"role":"user","content":"."}],"max_tokens":1}"#;

pub(super) static GROQ: Row = row(entry("groq", "Groq", Upstream::Groq, "/openai/v1"), "/openai/v1/models", judge_groq);
pub(super) static MISTRAL: Row =
    row(entry("mistral", "Mistral", Upstream::Mistral, "/v1"), "/v1/models", judge_mistral);
pub(super) static TOGETHER: Row = Row {
    junk_first: true,
    ..row(entry("together", "Together AI", Upstream::Together, "/v1"), "/v1/models", judge_list)
};
pub(super) static CEREBRAS: Row =
    Row { junk_first: true, ..row(entry("cerebras", "Cerebras", Upstream::Cerebras, "/v1"), "/v1/models", judge_list) };
pub(super) static PERPLEXITY: Row =
    no_such_model(entry("perplexity", "Perplexity", Upstream::Perplexity, ""), "/chat/completions", judge_perplexity);
pub(super) static SAMBANOVA: Row = no_such_model(
    entry("sambanova", "SambaNova", Upstream::Sambanova, "/v1"),
    "/v1/chat/completions",
    judge_completion,
);

/// Whatever speaks OpenAI's protocol at a key's own address.
pub(super) static CUSTOM: Row =
    row(Entry { name: "custom", label: "The provider", fields: &[API_KEY], base: None }, "/models", judge_list);

/// A row whose proof is that the provider looks at the model, having accepted the key.
pub(super) const fn no_such_model(entry: Entry, path: &'static str, rule: fn(&'static str, &Answer) -> Probe) -> Row {
    let proof = Call { verb: Verb::Post, path, place: Place::Bearer, headers: &[], body: Some(NO_SUCH_MODEL) };
    Row { proof, junk_first: true, ..row(entry, path, rule) }
}

/// Judges a key at an address of its own.
pub(super) async fn check(label: &'static str, base: &Url, key: &SecretString, egress: &Egress) -> Probe {
    let models = under(base, "/models");
    let list = async |shown: &SecretString| answered(label, egress.user_url(Method::GET, &models).bearer(shown)).await;
    match list(&junk_key(base.as_str())).await {
        Ok(answer) if matches!(answer.status, 400 | 401 | 403) && !is_page(&answer) => {}
        Ok(answer) => return judge_junk(label, &answer),
        Err(probe) => return probe,
    }
    list(key).await.map_or_else(|probe| probe, |answer| judge_list(label, &answer))
}

/// What it means that a made-up key was not refused.
fn judge_junk(label: &str, answer: &Answer) -> Probe {
    match answer.status {
        200..300 if is_list(answer) => super::row::proves_nothing(label),
        200..300 | 404 | 405 => Probe::inconclusive(
            "There is no list of models under base_url; see that it is the address before /models, which often ends in \
             /v1",
        ),
        _ => unexpected(label, answer),
    }
}

/// Judges a key by a list of models.
pub(super) fn judge_list(label: &'static str, answer: &Answer) -> Probe {
    judge(label, answer, is_list(answer))
}

fn judge_groq(label: &'static str, answer: &Answer) -> Probe {
    if answer.status == 400 && says(answer, "organization has been restricted") {
        return Probe::inconclusive(format!("{label} has restricted the organisation that the key belongs to"));
    }
    judge_list(label, answer)
}

fn judge_mistral(label: &'static str, answer: &Answer) -> Probe {
    let allowance = answer.header("x-ratelimit-limit-req-minute").and_then(|limit| limit.trim().parse::<u64>().ok());
    if answer.status == 429 && allowance == Some(0) {
        return exhausted(label);
    }
    judge_list(label, answer)
}

/// Judges a key by the answer to [`NO_SUCH_MODEL`]: an error about the model proves the key.
pub(super) fn judge_completion(label: &'static str, answer: &Answer) -> Probe {
    let is_errors_own = !is_page(answer) && answer.json::<serde_json::Map<String, serde_json::Value>>().is_some();
    match answer.status {
        400 | 404 | 422 if is_errors_own => Probe::valid(),
        _ => judge(label, answer, is_errors_own),
    }
}

fn judge_perplexity(label: &'static str, answer: &Answer) -> Probe {
    match answer.status {
        401 if error_code(answer).is_some_and(|code| code == "insufficient_quota") => exhausted(label),
        401 if is_page(answer) && says(answer, "401 authorization required") => refused(label),
        _ => judge_completion(label, answer),
    }
}

/// True for OpenAI's `{"data": [...]}`, and for the bare list that some give instead.
pub(super) fn is_list(answer: &Answer) -> bool {
    #[derive(Deserialize)]
    struct Models {
        #[serde(rename = "data")]
        _data: Vec<IgnoredAny>,
    }
    answer.json::<Models>().is_some() || answer.json::<Vec<IgnoredAny>>().is_some()
}
