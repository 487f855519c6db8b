//! Providers with protocols of their own.
//!
//! What they reproduce, and from where:
//! - Anthropic: `x-api-key` and `anthropic-version`; a bad key is 401, a disabled one 404 on `/v1/models` (seen by key
//!   verifiers); cost reports want an admin key and tell cents as texts (its documentation).
//! - Google: a bad key is 400 with the reason `API_KEY_INVALID`, a restricted one 403 `PERMISSION_DENIED`, which says
//!   nothing against the key (its documentation).
//! - Cohere: `POST /v1/check-api-key` answers `valid` (its documentation).
//! - NVIDIA: keys are NGC's and asked about in a form (key verifiers).
//! - Hugging Face: `GET /api/whoami-v2` (its own library).
//! - ElevenLabs: everything is in `detail.status`; 401 also means a missing permission, and 401 `quota_exceeded` an
//!   empty account (its help pages).
//! - Serper: `GET /account` with `balance`; a bad key is 403 (client libraries; not documented).
//! - SerpApi: the key stands in the query, and the account page echoes it; 403 is a deleted account (its
//!   documentation).
//! - Tavily: `GET /usage`; a key's own `limit` may be null (its documentation); 432 and 433 are spent limits (reports).

use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AiKey, Asked, Behaviour, Condition, bearer_key, closed, daily, header_key, ok, status};
use crate::wire::{form, header};

fn anthropic_error(code: u16, kind: &str, message: &str) -> Response {
    let error = json!({ "type": kind, "message": message });
    status(code, &json!({ "type": "error", "error": error, "request_id": "req_sandbox" }))
}

pub(super) static ANTHROPIC: Behaviour = Behaviour {
    key: |asked| header_key(asked, "x-api-key"),
    open: closed,
    refuse: |_, _| anthropic_error(401, "authentication_error", "invalid x-api-key"),
    throttled: || anthropic_error(429, "rate_limit_error", "This request would exceed your rate limit"),
    answer: anthropic,
};

fn anthropic(asked: &Asked, _name: &str, key: &AiKey) -> Response {
    if header(&asked.headers, "anthropic-version").is_none() {
        return anthropic_error(400, "invalid_request_error", "anthropic-version: header is required");
    }
    match (key.condition, asked.path.as_str()) {
        (_, "/v1/organizations/cost_report") if key.manages => {
            let since =
                asked.query.get("starting_at").and_then(Value::as_str).and_then(|it| it.parse::<Timestamp>().ok());
            let since = since.and_then(|since| u64::try_from(since.as_second()).ok()).unwrap_or_default();
            let bucket = |(start, spent): (u64, f64)| {
                let amount = format!("{:.2}", spent * 100.0);
                let results = json!([{ "currency": "USD", "amount": amount, "cost_type": "tokens" }]);
                let starting_at = i64::try_from(start).ok().and_then(|at| Timestamp::from_second(at).ok());
                json!({ "starting_at": starting_at.unwrap_or_default().to_string(), "results": results })
            };
            let buckets: Vec<Value> = daily(key, since).into_iter().map(bucket).collect();
            ok(&json!({ "data": buckets, "has_more": false, "next_page": null }))
        }
        (_, "/v1/organizations/api_keys") if key.manages => ok(&json!({ "data": [], "has_more": false })),
        (_, path) if path.starts_with("/v1/organizations/") => {
            anthropic_error(401, "authentication_error", "invalid x-api-key")
        }
        (Condition::Blocked, _) => anthropic_error(404, "not_found_error", "Not found"),
        _ if key.manages => anthropic_error(404, "not_found_error", "Not found"),
        (Condition::Restricted, _) => {
            anthropic_error(403, "permission_error", "Your API key does not have permission to use this resource")
        }
        (_, "/v1/models") => ok(&json!({
            "data": [{ "type": "model", "id": "sandbox-1", "display_name": "Sandbox" }],
            "has_more": false, "first_id": "sandbox-1", "last_id": "sandbox-1",
        })),
        (Condition::Exhausted, "/v1/messages") => {
            anthropic_error(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.")
        }
        _ => anthropic_error(404, "not_found_error", "Not found"),
    }
}

fn google_error(code: u16, kind: &str, message: &str, reason: Option<&str>) -> Response {
    let details = reason.map(|reason| {
        json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason,
            "domain": "googleapis.com",
            "metadata": { "service": "generativelanguage.googleapis.com" },
        })
    });
    let details: Vec<Value> = details.into_iter().collect();
    status(code, &json!({ "error": { "code": code, "message": message, "status": kind, "details": details } }))
}

pub(super) static GOOGLE_AI: Behaviour = Behaviour {
    key: |asked| header_key(asked, "x-goog-api-key"),
    open: closed,
    refuse: |_, key| match key {
        Some(_) => google_error(
            400,
            "INVALID_ARGUMENT",
            "API key not valid. Please pass a valid API key.",
            Some("API_KEY_INVALID"),
        ),
        None => google_error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.", None),
    },
    throttled: || google_error(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", None),
    answer: |asked, _, key| match key.condition {
        Condition::Restricted => google_error(
            403,
            "PERMISSION_DENIED",
            "Requests from referer <empty> are blocked.",
            Some("API_KEY_HTTP_REFERRER_BLOCKED"),
        ),
        Condition::Blocked => google_error(
            403,
            "PERMISSION_DENIED",
            "Generative Language API has not been used in this project or it is disabled.",
            Some("SERVICE_DISABLED"),
        ),
        _ if asked.gets("/v1beta/models") => ok(&json!({ "models": [{ "name": "models/sandbox-1" }] })),
        Condition::Exhausted => google_error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", None),
        Condition::Working => google_error(404, "NOT_FOUND", "Not found.", None),
    },
};

pub(super) static COHERE: Behaviour = Behaviour {
    key: bearer_key,
    open: closed,
    refuse: |_, _| status(401, &json!({ "message": "invalid api token" })),
    throttled: || status(429, &json!({ "message": "Please wait and try again later" })),
    answer: |asked, _, key| match key.condition {
        _ if asked.posts("/v1/check-api-key") => ok(&json!({
            "valid": key.condition != Condition::Blocked,
            "organization_id": "sandbox",
            "owner_id": "sandbox",
        })),
        Condition::Exhausted => status(402, &json!({ "message": "billing limit reached" })),
        _ => status(404, &json!({ "message": "not found" })),
    },
};

fn ngc(word: &str, description: Option<&str>) -> Value {
    json!({ "statusCode": word, "statusDescription": description, "requestId": "sandbox" })
}

pub(super) static NVIDIA_NGC: Behaviour = Behaviour {
    key: |asked| form(&asked.body).get("credentials").and_then(Value::as_str).map(str::to_owned),
    open: closed,
    refuse: |_, _| status(401, &json!({ "requestStatus": ngc("UNAUTHORIZED", Some("Invalid API key.")) })),
    throttled: || status(429, &json!({ "requestStatus": ngc("TOO_MANY_REQUESTS", None) })),
    answer: |asked, _, _| {
        if !asked.posts("/v3/keys/get-caller-info") {
            return status(404, &json!({ "requestStatus": ngc("NOT_FOUND", None) }));
        }
        ok(&json!({
            "requestStatus": ngc("SUCCESS", None),
            "type": "PERSONAL_KEY",
            "user": { "name": "Sandbox", "email": "sandbox@example.org" },
        }))
    },
};

pub(super) static HUGGINGFACE: Behaviour = Behaviour {
    key: bearer_key,
    open: closed,
    refuse: |_, _| status(401, &json!({ "error": "Invalid username or password." })),
    throttled: || status(429, &json!({ "error": "We had to rate limit you." })),
    answer: |asked, _, key| {
        if asked.gets("/api/whoami-v2") {
            let access = json!({ "displayName": "sandbox", "role": "fineGrained" });
            return ok(&json!({
                "type": "user",
                "id": "sandbox",
                "name": "sandbox",
                "canPay": key.condition != Condition::Exhausted,
                "isPro": false,
                "auth": { "type": "access_token", "accessToken": access },
            }));
        }
        status(404, &json!({ "error": "Not found" }))
    },
};

fn elevenlabs_error(code: u16, word: &str, message: &str) -> Response {
    status(code, &json!({ "detail": { "status": word, "message": message } }))
}

pub(super) static ELEVENLABS: Behaviour = Behaviour {
    key: |asked| header_key(asked, "xi-api-key"),
    open: closed,
    refuse: |_, _| elevenlabs_error(401, "invalid_api_key", "Invalid API key"),
    throttled: || elevenlabs_error(429, "system_busy", "The system is busy"),
    answer: |asked, _, key| match (key.condition, asked.path.as_str()) {
        (Condition::Restricted, "/v1/user/subscription") => elevenlabs_error(
            401,
            "missing_permissions",
            "The API key you used is missing the permission user_read to execute this operation.",
        ),
        (_, "/v1/user/subscription") => ok(&json!({
            "tier": "creator",
            "character_count": key.used_month,
            "character_limit": key.used_month + key.left().unwrap_or_default(),
            "next_character_count_reset_unix": crate::wire::unix_seconds() + 86_400,
            "status": "active",
        })),
        (_, "/v1/voices") => ok(&json!({ "voices": [] })),
        (Condition::Exhausted, _) => elevenlabs_error(401, "quota_exceeded", "This request exceeds your quota."),
        _ => elevenlabs_error(404, "not_found", "Not found"),
    },
};

pub(super) static SERPER: Behaviour = Behaviour {
    key: |asked| header_key(asked, "x-api-key"),
    open: closed,
    refuse: |_, _| status(403, &json!({ "message": "Unauthorized.", "statusCode": 403 })),
    throttled: || status(429, &json!({ "message": "Too many requests", "statusCode": 429 })),
    answer: |asked, _, key| {
        if asked.gets("/account") {
            return ok(&json!({ "balance": key.left().unwrap_or_default(), "rateLimit": 5 }));
        }
        if key.condition == Condition::Exhausted {
            return status(400, &json!({ "message": "Not enough credits", "statusCode": 400 }));
        }
        status(404, &json!({ "message": "Not found", "statusCode": 404 }))
    },
};

fn serpapi_error(code: u16, message: &str) -> Response {
    status(code, &json!({ "error": message }))
}

pub(super) static SERPAPI: Behaviour = Behaviour {
    key: |asked| asked.query.get("api_key").and_then(Value::as_str).map(str::to_owned),
    open: closed,
    refuse: |_, _| {
        serpapi_error(401, "Invalid API key. Your API key should be here: https://serpapi.com/manage-api-key")
    },
    throttled: || serpapi_error(429, "You are exceeding the throughput of your hourly limit."),
    answer: |asked, name, key| match (key.condition, asked.path.as_str()) {
        (Condition::Blocked, _) => serpapi_error(403, "The account associated with this API key has been deleted."),
        (_, "/account.json" | "/account") => ok(&json!({
            "account_id": "sandbox",
            "api_key": name,
            "account_email": "sandbox@example.org",
            "plan_name": "Developer Plan",
            "searches_per_month": 5_000,
            "plan_searches_left": key.left().unwrap_or_default(),
            "extra_credits": 0,
            "total_searches_left": key.left().unwrap_or_default(),
            "this_month_usage": key.used_month,
            "last_hour_searches": 0,
            "account_rate_limit_per_hour": 1_000,
        })),
        (Condition::Exhausted, _) => serpapi_error(429, "Your account has run out of searches."),
        _ => serpapi_error(404, "Not found"),
    },
};

fn tavily_error(code: u16, message: &str) -> Response {
    status(code, &json!({ "detail": { "error": message } }))
}

pub(super) static TAVILY: Behaviour = Behaviour {
    key: bearer_key,
    open: closed,
    refuse: |_, _| tavily_error(401, "Unauthorized: missing or invalid API key."),
    throttled: || tavily_error(429, "Your request has been blocked due to excessive requests."),
    answer: |asked, _, key| match (key.condition, asked.path.as_str()) {
        (_, "/usage") => ok(&json!({
            "key": { "usage": key.used_month, "limit": null },
            "account": {
                "current_plan": "Bootstrap",
                "plan_usage": key.used_month,
                "plan_limit": key.left().map(|left| left + key.used_month),
                "paygo_usage": 0,
                "paygo_limit": 0,
            },
        })),
        (Condition::Exhausted, _) => tavily_error(432, "This request exceeds your plan's set usage limit."),
        _ => tavily_error(404, "Not found"),
    },
};
