//! Providers that speak OpenAI's protocol.
//!
//! What they reproduce, and from where:
//! - OpenRouter: `GET /api/v1/key` tells the key's own usage and cap, `limit` and `limit_remaining` null without one;
//!   `GET /api/v1/credits` wants a management key (its documentation). `GET /api/v1/models` is open (reports).
//! - OpenAI: an exhausted key is 429 with `insufficient_quota`, and still lists models; costs want an admin key, which
//!   may not list models (its reference; the last from reports). Its 401 repeats the key, masked in the middle.
//! - Groq, Mistral, Together, Cerebras: `GET …/models` checks the key.
//! - DeepSeek: balances are texts, one for each currency; 402 `Insufficient Balance` (its documentation).
//! - xAI: a bad key is 400, not 401; `GET /v1/api-key` tells whether the key or its team is blocked. The prepaid balance is
//!   another host's and wants a management key; its amounts are cents with the sign turned round (its documentation).
//! - Fireworks: `GET /v1/accounts` names the account, whose billing summary has costs in units and nanos; a suspended
//!   account is 412 (reports).
//! - Perplexity: `GET /v1/models` is open; a bad key is 401 with a web page (reports); an unknown model is 400.
//! - SambaNova, NVIDIA: `GET /v1/models` is open (reports).
//! - Moonshot, SiliconFlow, Novita, DeepInfra: balances with the ordinary key. SiliconFlow's and Novita's are texts,
//!   Novita's in ten-thousandths of a dollar, DeepInfra's negative where it is prepaid and without what was used since the last invoice (documentation and reports).

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    AiKey, Asked, Behaviour, Condition, bearer_key, catalogue, closed, daily, masked, not_found, ok, openai_error,
    status, today,
};
use crate::wire::plain;

const fn behaviour(
    open: fn(&Asked) -> Option<Response>,
    refuse: fn(&Asked, Option<&str>) -> Response,
    throttled: fn() -> Response,
    answer: fn(&Asked, &str, &AiKey) -> Response,
) -> Behaviour {
    Behaviour { key: bearer_key, open, refuse, throttled, answer }
}

fn too_many() -> Response {
    openai_error(429, "Rate limit reached", "rate_limit_error", "rate_limit_exceeded")
}

fn unauthorised(_asked: &Asked, _key: Option<&str>) -> Response {
    openai_error(401, "Invalid API Key", "invalid_request_error", "invalid_api_key")
}

/// One completion, for a model that there is.
fn completion(asked: &Asked, key: &AiKey, exhausted: fn() -> Response) -> Response {
    if key.condition == Condition::Exhausted {
        return exhausted();
    }
    let known = asked.json().get("model").and_then(Value::as_str).is_some_and(|model| model.starts_with("sandbox"));
    if !known {
        return openai_error(400, "Invalid model", "invalid_model", "model_not_found");
    }
    ok(&json!({
        "id": "chatcmpl-sandbox",
        "object": "chat.completion",
        "model": "sandbox-1",
        "choices": [{
            "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "Hello." },
        }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
    }))
}

fn no_credit() -> Response {
    openai_error(402, "Insufficient credit", "payment_required", "insufficient_credit")
}

/// A catalogue that checks keys, and completions, at OpenAI's paths under `prefix`.
fn models(asked: &Asked, key: &AiKey, prefix: &str, exhausted: fn() -> Response) -> Response {
    let Some(path) = asked.path.strip_prefix(prefix) else { return not_found() };
    match (asked.method.as_str(), path) {
        ("GET", "/models") => catalogue(),
        ("POST", "/chat/completions") => completion(asked, key, exhausted),
        _ => not_found(),
    }
}

fn openrouter_error(code: u16, message: &str) -> Response {
    status(code, &json!({ "error": { "message": message, "code": code } }))
}

/// A key as OpenRouter shows it: the first twelve and the last three characters.
fn label(key: &str) -> String {
    let (start, end) = (key.get(..12), key.get(key.len().saturating_sub(3)..));
    format!("{}...{}", start.unwrap_or_default(), end.unwrap_or_default())
}

pub(super) static OPENROUTER: Behaviour = behaviour(
    |asked| asked.gets("/api/v1/models").then(catalogue),
    |_, key| openrouter_error(401, if key.is_some() { "User not found." } else { "No cookie auth credentials found" }),
    || openrouter_error(429, "Rate limit exceeded"),
    |asked, name, key| match asked.path.as_str() {
        "/api/v1/key" | "/api/v1/auth/key" => {
            let left = key.left();
            ok(&json!({ "data": {
                "label": label(name),
                "usage": key.used_month,
                "usage_daily": key.used_today,
                "usage_weekly": key.used_today,
                "usage_monthly": key.used_month,
                "byok_usage": 0,
                "limit": left.map(|left| left + key.used_month),
                "limit_remaining": left,
                "limit_reset": null,
                "is_free_tier": false,
                "is_management_key": key.manages,
                "expires_at": null,
            } }))
        }
        "/api/v1/credits" if key.manages => {
            let left = key.left().unwrap_or_default();
            ok(&json!({ "data": { "total_credits": left + key.used_month, "total_usage": key.used_month } }))
        }
        "/api/v1/credits" => openrouter_error(403, "Only management keys can fetch credits for an account"),
        "/api/v1/chat/completions" if key.manages => openrouter_error(401, "Management keys cannot be used here"),
        _ => models(asked, key, "/api/v1", || {
            status(
                402,
                &json!({ "error": {
                "message": "This request requires more credits",
                "code": 402,
                "metadata": { "limit_source": "openrouter_credits" },
            } }),
            )
        }),
    },
);

pub(super) static GROQ: Behaviour = behaviour(closed, unauthorised, too_many, |asked, _, key| match key.condition {
    Condition::Blocked => openai_error(
        400,
        "Organization has been restricted. Please reach out to support.",
        "invalid_request_error",
        "organization_restricted",
    ),
    _ => models(asked, key, "/openai/v1", too_many),
});

pub(super) static OPENAI: Behaviour = behaviour(
    closed,
    |_, key| {
        let message = match key {
            None => "You didn't provide an API key.".to_owned(),
            Some(key) => format!("Incorrect API key provided: {}.", masked(key)),
        };
        openai_error(401, &message, "invalid_request_error", "invalid_api_key")
    },
    || openai_error(429, "Rate limit reached for requests", "requests", "rate_limit_exceeded"),
    |asked, _, key| match (key.condition, asked.path.as_str()) {
        (Condition::Blocked, _) => {
            openai_error(401, "This account is deactivated.", "invalid_request_error", "account_deactivated")
        }
        (_, "/v1/organization/costs") if key.manages => {
            let since = asked.query.get("start_time").and_then(Value::as_str).and_then(|it| it.parse().ok());
            let bucket = |(start, spent): (u64, f64)| {
                let amount = json!({ "value": spent, "currency": "usd" });
                let results = json!([{ "object": "organization.costs.result", "amount": amount }]);
                json!({ "object": "bucket", "start_time": start, "end_time": start + 86_400, "results": results })
            };
            let buckets: Vec<Value> = daily(key, since.unwrap_or_default()).into_iter().map(bucket).collect();
            ok(&json!({ "object": "page", "data": buckets, "has_more": false, "next_page": null }))
        }
        (Condition::Restricted, _) | (_, "/v1/organization/costs") => openai_error(
            403,
            "You have insufficient permissions for this operation. Missing scopes: api.model.read.",
            "invalid_request_error",
            "missing_scope",
        ),
        (..) if key.manages => {
            openai_error(403, "Missing scopes: api.model.read.", "invalid_request_error", "missing_scope")
        }
        _ => models(asked, key, "/v1", || {
            let message = "You exceeded your current quota, please check your plan and billing details.";
            openai_error(429, message, "insufficient_quota", "insufficient_quota")
        }),
    },
);

fn mistral_error(code: u16, message: &str) -> Response {
    status(code, &json!({ "message": message, "request_id": "sandbox" }))
}

pub(super) static MISTRAL: Behaviour = behaviour(
    closed,
    |_, _| status(401, &json!({ "detail": "Unauthorized" })),
    || mistral_error(429, "Requests rate limit exceeded"),
    |asked, _, key| models(asked, key, "/v1", || mistral_error(402, "Payment required")),
);

pub(super) static DEEPSEEK: Behaviour = behaviour(
    closed,
    |_, key| {
        let shown = key.map(masked).unwrap_or_default();
        let message = format!("Authentication Fails, Your api key: {shown} is invalid");
        openai_error(401, &message, "authentication_error", "invalid_request_error")
    },
    too_many,
    |asked, _, key| {
        let left = key.left().unwrap_or_default();
        if asked.gets("/user/balance") {
            let yuan = json!({
                "currency": "CNY", "total_balance": "0.00", "granted_balance": "0.00", "topped_up_balance": "0.00",
            });
            let dollars = json!({
                "currency": "USD", "total_balance": format!("{left:.2}"), "granted_balance": "0.00",
                "topped_up_balance": format!("{left:.2}"),
            });
            return ok(&json!({ "is_available": left > 0.0, "balance_infos": [yuan, dollars] }));
        }
        models(asked, key, "", || openai_error(402, "Insufficient Balance", "unknown_error", "invalid_request_error"))
    },
);

fn xai_error(code: u16, kind: &str, message: &str) -> Response {
    status(code, &json!({ "code": kind, "error": message }))
}

fn xai_refusal(_asked: &Asked, key: Option<&str>) -> Response {
    let message = format!("Incorrect API key provided: {}.", key.map(masked).unwrap_or_default());
    xai_error(400, "Client specified an invalid argument", &message)
}

fn xai_throttle() -> Response {
    xai_error(429, "Some resource has been exhausted", "Too many requests")
}

pub(super) static XAI: Behaviour = behaviour(closed, xai_refusal, xai_throttle, |asked, name, key| {
    if asked.gets("/v1/api-key") {
        return ok(&json!({
            "redacted_api_key": format!("xai-...{}", name.get(name.len().saturating_sub(4)..).unwrap_or_default()),
            "name": "sandbox",
            "team_id": "sandbox-team",
            "acls": ["api-key:model:*", "api-key:endpoint:*"],
            "team_blocked": key.condition == Condition::Exhausted,
            "api_key_blocked": key.condition == Condition::Blocked,
            "api_key_disabled": false,
        }));
    }
    if key.condition == Condition::Blocked {
        return xai_error(403, "The caller does not have permission to execute the specified operation", "Blocked");
    }
    models(asked, key, "/v1", || xai_error(429, "Some resource has been exhausted", "Your team has used all credits"))
});

pub(super) static XAI_MANAGEMENT: Behaviour = behaviour(closed, xai_refusal, xai_throttle, |asked, _, key| {
    if !asked.gets("/v1/billing/teams/sandbox-team/prepaid/balance") {
        return xai_error(404, "The requested resource was not found", "Not found");
    }
    let cents = (key.left().unwrap_or_default() * 100.0).round();
    ok(&json!({ "changes": [], "total": { "val": format!("{:.0}", -cents) } }))
});

pub(super) static TOGETHER: Behaviour = behaviour(
    closed,
    |_, _| openai_error(401, "Invalid API key provided.", "invalid_request_error", "invalid_api_key"),
    too_many,
    |asked, _, key| models(asked, key, "/v1", no_credit),
);

fn fireworks_error(code: u16, grpc: u8, message: &str) -> Response {
    status(code, &json!({ "code": grpc, "message": message, "details": [] }))
}

pub(super) static FIREWORKS: Behaviour = behaviour(
    closed,
    |_, _| fireworks_error(401, 16, "The API key you provided is invalid."),
    || fireworks_error(429, 8, "Too many requests"),
    |asked, _, key| match (key.condition, asked.path.as_str()) {
        (Condition::Blocked, _) => fireworks_error(412, 9, "Account sandbox is suspended"),
        (_, "/v1/accounts") => ok(&json!({
            "accounts": [{ "name": "accounts/sandbox", "displayName": "Sandbox", "state": "READY" }],
            "nextPageToken": "",
            "totalSize": 1,
        })),
        (Condition::Restricted, "/v1/accounts/sandbox/billing/summary") => fireworks_error(403, 7, "Permission denied"),
        (_, "/v1/accounts/sandbox/billing/summary") => {
            let since_today = asked.query.get("startTime").and_then(Value::as_str).is_some_and(is_today);
            let used = if since_today { key.used_today } else { key.used_month };
            let units = used.trunc();
            ok(&json!({ "lineItems": [{
                "description": "Serverless inference",
                "totalCost": {
                    "currencyCode": "USD",
                    "units": format!("{units:.0}"),
                    "nanos": format!("{:.0}", (used - units) * 1e9).parse::<i64>().unwrap_or_default(),
                },
            }] }))
        }
        _ => models(asked, key, "/inference/v1", no_credit),
    },
);

/// True for a time of the current UTC day.
fn is_today(time: &str) -> bool {
    let since = time.parse::<jiff::Timestamp>().map(|time| time.as_second()).unwrap_or_default();
    u64::try_from(since).is_ok_and(|since| since >= today())
}

pub(super) static PERPLEXITY: Behaviour = behaviour(
    |asked| (asked.gets("/v1/models") || asked.gets("/models")).then(catalogue),
    |_, _| {
        let page = "<html>\n<head><title>401 Authorization Required</title></head>\n<body>\n<center><h1>401 \
                    Authorization Required</h1></center>\n</body>\n</html>\n";
        plain(StatusCode::UNAUTHORIZED, "text/html", page)
    },
    too_many,
    |asked, _, key| {
        models(asked, key, "", || {
            let message = "You exceeded your current quota, please check your plan and billing details.";
            openai_error(401, message, "insufficient_quota", "insufficient_quota")
        })
    },
);

pub(super) static CEREBRAS: Behaviour = behaviour(
    closed,
    |_, _| {
        let error = json!({
            "message": "Wrong API Key", "type": "invalid_request_error", "param": "api_key", "code": "wrong_api_key",
        });
        status(401, &error)
    },
    too_many,
    |asked, _, key| models(asked, key, "/v1", no_credit),
);

pub(super) static SAMBANOVA: Behaviour = behaviour(
    |asked| asked.gets("/v1/models").then(catalogue),
    unauthorised,
    too_many,
    |asked, _, key| models(asked, key, "/v1", no_credit),
);

/// Keys are NGC's; whether one works is asked there. Here only the catalogue is served, to everybody.
pub(super) static NVIDIA_NIM: Behaviour = behaviour(
    |asked| asked.gets("/v1/models").then(catalogue),
    |_, _| status(401, &json!({ "status": 401, "title": "Unauthorized", "detail": "Authentication failed" })),
    || status(429, &json!({ "status": 429, "title": "Too Many Requests" })),
    |asked, _, key| models(asked, key, "/v1", no_credit),
);

pub(super) static MOONSHOT: Behaviour = behaviour(
    closed,
    |_, _| {
        let error = json!({ "message": "Invalid Authentication", "type": "invalid_authentication_error" });
        status(401, &json!({ "error": error }))
    },
    too_many,
    |asked, _, key| {
        if asked.gets("/v1/users/me/balance") {
            let left = key.left().unwrap_or_default();
            let data = json!({ "available_balance": left, "voucher_balance": 0, "cash_balance": left });
            return ok(&json!({ "code": 0, "data": data, "scode": "0x0", "status": true }));
        }
        models(asked, key, "/v1", || {
            openai_error(
                429,
                "Your account is suspended",
                "exceeded_current_quota_error",
                "exceeded_current_quota_error",
            )
        })
    },
);

pub(super) static SILICONFLOW: Behaviour = behaviour(
    closed,
    |_, _| status(401, &json!("Api key is invalid")),
    || status(429, &json!({ "message": "Request was rejected due to rate limiting", "data": "" })),
    |asked, _, key| {
        if asked.gets("/v1/user/info") {
            let left = format!("{:.2}", key.left().unwrap_or_default());
            return ok(&json!({ "code": 20000, "message": "OK", "status": true, "data": {
                "id": "sandbox", "name": "sandbox", "email": "sandbox@example.org", "status": "normal",
                "balance": "0.00", "chargeBalance": left, "totalBalance": left,
            } }));
        }
        models(asked, key, "/v1", || {
            status(
                403,
                &json!({ "code": 30001, "message": "Sorry, your account balance is insufficient", "data": null }),
            )
        })
    },
);

fn novita_error(code: u16, reason: &str, message: &str) -> Response {
    status(code, &json!({ "code": code, "reason": reason, "message": message, "metadata": {} }))
}

pub(super) static NOVITA: Behaviour = behaviour(
    closed,
    |_, _| novita_error(401, "INVALID_API_KEY", "invalid API key"),
    || novita_error(429, "RATE_LIMIT_EXCEEDED", "rate limit exceeded"),
    |asked, _, key| {
        if asked.gets("/openapi/v1/billing/balance/detail") {
            let left = format!("{:.0}", key.left().unwrap_or_default() * 10_000.0);
            return ok(&json!({
                "availableBalance": left, "cashBalance": left, "creditLimit": "0", "pendingCharges": "0",
                "outstandingInvoices": "0",
            }));
        }
        models(asked, key, "/openai/v1", || novita_error(403, "NOT_ENOUGH_BALANCE", "not enough balance"))
    },
);

fn deepinfra_error(code: u16, message: &str) -> Response {
    status(code, &json!({ "detail": { "error": message } }))
}

pub(super) static DEEPINFRA: Behaviour = behaviour(
    |asked| asked.gets("/v1/openai/models").then(catalogue),
    |_, _| deepinfra_error(401, "User is not authenticated"),
    || deepinfra_error(429, "Rate limited"),
    |asked, _, key| match (key.condition, asked.path.as_str()) {
        (Condition::Restricted, path) if path.starts_with("/payment/") => deepinfra_error(403, "Not allowed"),
        (_, "/payment/checklist") => ok(&json!({
            "email": true,
            "billing_address": { "line1": "1 Sandbox Street" },
            "suspended": matches!(key.condition, Condition::Exhausted | Condition::Blocked),
            "suspend_reason": if key.condition == Condition::Exhausted { Some("balance") } else { None },
            "stripe_balance": -(key.left().unwrap_or_default() + key.used_today),
            "recent": key.used_today,
            "limit": 100.0,
        })),
        (_, "/payment/usage") => {
            let cents = key.used_month * 100.0;
            ok(
                &json!({ "initial_month": "2026-01", "months": [{ "period": "2026-01", "items": [], "total_cost": cents }] }),
            )
        }
        _ => models(asked, key, "/v1/openai", || deepinfra_error(402, "inference prohibited, please top up")),
    },
);
