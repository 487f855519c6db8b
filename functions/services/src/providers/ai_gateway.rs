//! A gateway to language models: Vercel's, or another that speaks OpenAI's protocol.
//!
//! Vercel tells a key's balance, which proves the key and spends nothing. Of another gateway only the list of models is
//! known, and many give it to everybody: so a junk key is shown first, and only where that is refused does a good
//! answer prove the real one. A 403 proves it, too, but only where the junk key was refused otherwise. The junk key is made
//! of the gateway's address, so that it is not the same everywhere, and of nothing secret.
//!
//! Where what gateways do comes from: Vercel's documentation and SDK (`/v1/credits`, types of errors), OpenAI's
//! protocol (`/models`; 401 for a key, with a part of it in the message, which is why no message is passed on), 402 for
//! credit and 403 for what a good key may not do.

use axum::http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;
use shared::digest::sha256_hex;
use shared::egress::{Answer, Egress, EgressError, Upstream};
use url::Url;

use crate::model::{Delivery, Message, Refusal, Report};

use super::{Config, Field, Provider, Shape, incomplete, is_page, not_a_channel, unanswered, unexpected};

const FIELDS: &[Field] = &[
    Field::secret(
        "apiKey",
        "API key",
        Shape::Text(4096),
        "For Vercel's AI Gateway, create a key in the dashboard under AI Gateway > API Keys; for another gateway, as \
         it tells.",
    )
    .required(),
    Field::plain(
        "baseUrl",
        "Base URL",
        Shape::Url,
        "Only for another gateway than Vercel's: the address before /models and /chat/completions, which often ends in \
         /v1.",
    ),
];

const LABEL: &str = "AI gateway";
const VERCEL: &str = "Vercel's AI Gateway";
const VERCEL_HOST: &str = "ai-gateway.vercel.sh";
const GATEWAY: &str = "The gateway";
/// Some gateways list thousands of models.
const LIST: usize = 4 * 1024 * 1024;

pub(super) struct AiGateway;

#[async_trait::async_trait]
impl Provider for AiGateway {
    fn label(&self) -> &'static str {
        LABEL
    }

    fn description(&self) -> &'static str {
        "A gateway to language models: Vercel's AI Gateway, or any that speaks OpenAI's protocol."
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn user_addresses(&self) -> &'static [&'static str] {
        &["baseUrl"]
    }

    async fn check(&self, config: &Config, egress: &Egress) -> Report {
        let Some(key) = config.secret("apiKey") else { return incomplete("apiKey") };
        match config.url("baseUrl") {
            Some(base) if base.host_str() != Some(VERCEL_HOST) => {
                check_compatible(&models_of(&base), key, egress).await
            }
            _ => check_vercel(key, egress).await,
        }
    }

    fn is_channel(&self) -> bool {
        false
    }

    async fn send(&self, _config: &Config, _message: &Message, _egress: &Egress) -> Result<Delivery, Refusal> {
        Err(not_a_channel(LABEL))
    }
}

async fn check_vercel(key: &SecretString, egress: &Egress) -> Report {
    match egress.upstream(Method::GET, Upstream::AiGateway, "/v1/credits").bearer(key).send().await {
        Ok(answer) => judge_vercel(&answer),
        Err(error) => unanswered(VERCEL, &error),
    }
}

fn judge_vercel(answer: &Answer) -> Report {
    #[derive(Deserialize)]
    struct Credits {
        balance: Json,
    }
    #[derive(Deserialize)]
    struct Failure {
        #[serde(rename = "error")]
        _error: serde_json::Map<String, Json>,
    }
    let balance = || amount(&answer.json::<Credits>()?.balance);
    let is_vercels = || answer.json::<Failure>().is_some();
    match answer.status {
        200 => match balance() {
            Some(balance) if balance > 0.0 => Report::valid(),
            Some(_) => Report::limited(
                "The API key works but the team has no AI Gateway credit left. Top it up in Vercel's dashboard under \
                 AI Gateway.",
            ),
            None => unexpected(VERCEL, answer),
        },
        401 if is_vercels() => Report::invalid(
            "Vercel's AI Gateway does not accept the API key: it is wrong, expired or was deleted. Create a new key in \
             Vercel's dashboard under AI Gateway and save it here.",
        ),
        402 if is_vercels() => Report::limited(
            "The API key works but its credit is used up. Top it up in Vercel's dashboard under AI Gateway.",
        ),
        403 if is_vercels() => Report::limited(
            "Vercel's AI Gateway knows the API key but refuses it for now: it may be blocked or over its budget. See \
             Vercel's dashboard under AI Gateway.",
        ),
        _ => unexpected(VERCEL, answer),
    }
}

/// US dollars, which come as text.
fn amount(value: &Json) -> Option<f64> {
    let amount = match value {
        Json::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    };
    amount.filter(|amount: &f64| amount.is_finite())
}

async fn check_compatible(models: &Url, key: &SecretString, egress: &Egress) -> Report {
    let refused = match list_models(models, &junk_key(models), egress).await {
        Ok(answer) if matches!(answer.status, 400 | 401 | 403) && !is_page(&answer) => answer.status,
        Ok(answer) => return judge_junk(&answer),
        Err(error) => return uncalled(&error),
    };
    match list_models(models, key, egress).await {
        Ok(answer) => judge_compatible(&answer, refused),
        Err(error) => uncalled(&error),
    }
}

async fn list_models(models: &Url, key: &SecretString, egress: &Egress) -> Result<Answer, EgressError> {
    egress.user_url(Method::GET, models).bearer(key).read_at_most(LIST).send().await
}

/// The address of the list of models under `base`.
fn models_of(base: &Url) -> Url {
    let mut models = base.clone();
    models.set_path(&format!("{}/models", base.path().trim_end_matches('/')));
    models.set_fragment(None);
    models
}

fn junk_key(models: &Url) -> SecretString {
    let digest = sha256_hex(format!("junk key for {models}").as_bytes());
    SecretString::from(format!("not-a-key-{}", digest.chars().take(32).collect::<String>()))
}

/// What it means that a junk key was not refused.
fn judge_junk(answer: &Answer) -> Report {
    match answer.status {
        200..300 if is_list(answer) => Report::inconclusive(
            "The gateway gives its list of models to any key, even to one made up, so nothing shows whether this one \
             works",
        ),
        200..300 | 404 | 405 => Report::inconclusive(
            "There is no list of models under baseUrl; see that it is the address before /models, which often ends in \
             /v1",
        ),
        _ => unexpected(GATEWAY, answer),
    }
}

/// Judges the real key where a junk key was refused with the status `refused`.
fn judge_compatible(answer: &Answer, refused: u16) -> Report {
    match answer.status {
        _ if is_page(answer) => unexpected(GATEWAY, answer),
        200..300 if is_list(answer) => Report::valid(),
        401 => Report::invalid(
            "The gateway does not accept the API key: it is wrong, expired or was deleted. Create a new key there and \
             save it here, and see that baseUrl is the gateway that the key belongs to.",
        ),
        402 => Report::limited("The API key works but its credit is used up. Top it up at the gateway."),
        403 if refused == 403 => Report::inconclusive(
            "The gateway refuses the API key as it refuses a made-up one (HTTP 403): it does not know the key, or it refuses \
             every call from this server",
        ),
        403 => Report::limited(
            "The gateway knows the API key but does not let it list the models: it may lack the right, be blocked, or \
             be for other networks than this server's. See the gateway's settings of the key.",
        ),
        _ => unexpected(GATEWAY, answer),
    }
}

/// True for OpenAI's `{"data": [...]}`, and for the bare list that some give instead.
fn is_list(answer: &Answer) -> bool {
    #[derive(Deserialize)]
    struct Models {
        #[serde(rename = "data")]
        _data: Vec<IgnoredAny>,
    }
    answer.json::<Models>().is_some() || answer.json::<Vec<IgnoredAny>>().is_some()
}

fn uncalled(error: &EgressError) -> Report {
    match error {
        EgressError::Forbidden | EgressError::Unusable(_) => {
            Report::invalid(format!("The base URL cannot be called: {error}. Save the public URL of a gateway."))
        }
        error => unanswered(GATEWAY, error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stand_in::{StandIn, answer, config, egress};
    use super::*;
    use crate::model::Verdict::{Inconclusive, Invalid, Limited, Valid};
    use serde_json::json;

    const MODELS: &str = r#"{"object":"list","data":[{"id":"one","object":"model"}]}"#;
    const BAD_KEY: &str =
        r#"{"error":{"message":"Incorrect API key provided: sk-secre*cret.","type":"invalid_request_error"}}"#;

    #[tokio::test]
    async fn vercels_answers_are_judged() {
        for (status, body, verdict) in [
            (200, r#"{"balance":"95.50","total_used":"4.50"}"#, Valid),
            (200, r#"{"balance":95.5,"total_used":4.5}"#, Valid),
            (200, r#"{"balance":"0","total_used":"5"}"#, Limited),
            (200, r#"{"balance":"-0.01","total_used":"5"}"#, Limited),
            (200, r#"{"balance":null}"#, Inconclusive),
            (200, "<html>", Inconclusive),
            (401, r#"{"error":{"message":"Invalid API key","type":"authentication_error"}}"#, Invalid),
            (401, "<html>", Inconclusive),
            (402, r#"{"error":{"message":"?","type":"insufficient_funds"}}"#, Limited),
            (403, r#"{"error":{"message":"?","type":"forbidden"}}"#, Limited),
            (403, "<html>", Inconclusive),
            (404, r#"{"error":{"message":"?","type":"not_found"}}"#, Inconclusive),
            (429, r#"{"error":{"message":"?","type":"rate_limit_exceeded"}}"#, Inconclusive),
            (500, r#"{"error":{"message":"?","type":"internal_server_error"}}"#, Inconclusive),
        ] {
            let vercel = StandIn::answering(move |_| answer(status, &[], body)).await;
            let egress = egress(&[(Upstream::AiGateway, &vercel)], &[]);
            for base in [None, Some("https://ai-gateway.vercel.sh/v1/")] {
                let report =
                    AiGateway.check(&config(FIELDS, json!({ "apiKey": "secret", "baseUrl": base })), &egress).await;
                assert_eq!(report.verdict, verdict, "{status} {body}");
            }
            assert!(
                vercel
                    .asked()
                    .iter()
                    .all(|asked| asked.path == "/v1/credits" && asked.header("authorization") == "Bearer secret")
            );
        }
    }

    /// The verdict where a junk key is answered with one thing and the real one with another, and how often it asked.
    async fn checked(junk: (u16, &'static str), real: (u16, &'static str)) -> (Report, usize) {
        let gateway = StandIn::answering(move |asked| {
            let (status, body) = if asked.header("authorization") == "Bearer sk-secret" { real } else { junk };
            answer(status, &[], body)
        })
        .await;
        let base = format!("{}openai/v1/", gateway.url);
        let config = config(FIELDS, json!({ "apiKey": "sk-secret", "baseUrl": base }));
        let report = AiGateway.check(&config, &egress(&[], &[&gateway])).await;
        let asked = gateway.asked();
        assert!(asked.iter().all(|asked| asked.method == Method::GET && asked.path == "/openai/v1/models"));
        assert!(!asked[0].header("authorization").contains("secret"));
        assert!(!report.message.contains("sk-secre"), "{}", report.message);
        (report, asked.len())
    }

    #[tokio::test]
    async fn a_key_is_proved_only_where_junk_is_refused() {
        for status in [400, 401, 403] {
            let (report, _) = checked((status, BAD_KEY), (200, MODELS)).await;
            assert_eq!(report.verdict, Valid, "{status}");
        }
        for junk in
            [(200, MODELS), (200, "<html>"), (401, "<html>"), (403, "<html>"), (404, "{}"), (429, "{}"), (503, "")]
        {
            let (report, asked) = checked(junk, (200, MODELS)).await;
            assert_eq!((report.verdict, asked), (Inconclusive, 1), "{junk:?}");
        }
    }

    #[tokio::test]
    async fn answers_to_the_real_key_are_judged() {
        for (real, verdict) in [
            ((401, BAD_KEY), Invalid),
            ((401, ""), Invalid),
            ((401, "<html>"), Inconclusive),
            ((402, "{}"), Limited),
            ((403, "{}"), Limited),
            ((403, "<html>"), Inconclusive),
            ((200, "<html>"), Inconclusive),
            ((429, "{}"), Inconclusive),
            ((500, "{}"), Inconclusive),
        ] {
            let (report, asked) = checked((401, BAD_KEY), real).await;
            assert_eq!((report.verdict, asked), (verdict, 2), "{real:?}");
        }
    }

    #[tokio::test]
    async fn a_403_proves_a_key_only_where_junk_is_refused_otherwise() {
        for (junk, verdict) in [(400, Limited), (401, Limited), (403, Inconclusive)] {
            let (report, asked) = checked((junk, BAD_KEY), (403, "{}")).await;
            assert_eq!((report.verdict, asked), (verdict, 2), "{junk}");
        }
        let (report, _) = checked((403, BAD_KEY), (401, BAD_KEY)).await;
        assert_eq!(report.verdict, Invalid);
    }

    #[tokio::test]
    async fn a_private_address_is_not_called() {
        let gateway = StandIn::answering(|_| answer(200, &[], MODELS)).await;
        let config = config(FIELDS, json!({ "apiKey": "sk-secret", "baseUrl": gateway.url.as_str() }));
        let report = AiGateway.check(&config, &egress(&[], &[])).await;
        assert_eq!((report.verdict, gateway.asked().len()), (Invalid, 0));
    }
}
