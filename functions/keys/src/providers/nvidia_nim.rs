//! NVIDIA's hosted models: the list of models is open to everybody, so the service that makes the keys is asked.
//!
//! It takes the key in a form. It does not know keys of the older kind, so its refusal counts only for those that start as
//! today's do.

use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use shared::egress::{Answer, Egress, Upstream};

use super::row::{Row, Site, answered, entry, row};
use super::{API_KEY, Credential, Entry, KeyProvider, incomplete, judge, openai_compatible, unexpected};
use crate::model::{Probe, Verdict};

/// Asked by its list of models at a key's own address only.
static ROW: Row =
    row(entry("nvidia_nim", "NVIDIA NIM", Upstream::NvidiaNim, "/v1"), "/v1/models", openai_compatible::judge_list);

pub(super) struct NvidiaNim;

#[async_trait::async_trait]
impl KeyProvider for NvidiaNim {
    fn entry(&self) -> &Entry {
        &ROW.entry
    }

    async fn probe(&self, key: &Credential<'_>, egress: &Egress) -> Probe {
        let label = ROW.entry.label;
        let Some(api_key) = key.field(API_KEY.name) else { return incomplete(API_KEY.name) };
        if let Ok(Site::Elsewhere(_)) = ROW.site(key) {
            return ROW.probe(key, egress).await;
        }
        let request = egress.upstream(Method::POST, Upstream::NvidiaNgc, "/v3/keys/get-caller-info");
        let probe = match answered(label, request.body("application/x-www-form-urlencoded", form(api_key).into())).await
        {
            Ok(answer) => judge_caller(label, &answer),
            Err(probe) => probe,
        };
        if probe.verdict == Verdict::Invalid && !api_key.expose_secret().starts_with("nvapi-") {
            return Probe::inconclusive(format!("{label} does not know the key, but it may be one of the older kind"));
        }
        probe
    }
}

fn form(key: &SecretString) -> String {
    url::form_urlencoded::Serializer::new(String::new()).append_pair("credentials", key.expose_secret()).finish()
}

fn judge_caller(label: &'static str, answer: &Answer) -> Probe {
    let body: Value = answer.json().unwrap_or_default();
    match body.pointer("/requestStatus/statusCode").and_then(Value::as_str) {
        Some(status) => judge(label, answer, status == "SUCCESS"),
        None => unexpected(label, answer),
    }
}
