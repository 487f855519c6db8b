//! Every provider against its fake, and against answers that none should give.

use std::collections::BTreeMap;
use std::time::Duration;

use fakes::ai::{AiKey, AiProvider, AiProviders, Condition};
use fakes::ai_gateway::{Catalogue, OpenAiCompatible};
use fakes::{Answer, Fault};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::config::EgressConfig;
use shared::egress::{Allowed, Egress, Upstream};
use url::Url;

use super::{Credential, KeyProvider, all, named, of};
use crate::model::Verdict::{Inconclusive, Invalid, Limited, Valid};
use crate::model::{Amounts, Billing, Probe};

/// As NVIDIA's keys start, and good enough for the others.
const KEY: &str = "nvapi-secret-0123456789";

struct World {
    fakes: AiProviders,
    /// A server at an address of the user's own.
    other: OpenAiCompatible,
    egress: Egress,
}

impl World {
    async fn start() -> Self {
        let (fakes, other) = (AiProviders::start().await.unwrap(), OpenAiCompatible::start().await.unwrap());
        let endpoint = |(name, fake): (&str, &AiProvider)| {
            (Upstream::named(name).unwrap(), Url::parse(&fake.host.origin()).unwrap())
        };
        let endpoints = fakes.all().into_iter().map(endpoint).collect();
        let allow = [other.address(), fakes.anthropic.host.address()];
        let allow = allow.iter().filter_map(|address| Allowed::parse(&address.to_string())).collect();
        Self { egress: Egress::new(EgressConfig { endpoints, allow, ..EgressConfig::default() }), fakes, other }
    }

    /// The fake that judges keys of this provider.
    fn judge_of(&self, provider: &dyn KeyProvider) -> &AiProvider {
        let entry = provider.entry();
        let name = if entry.name == "nvidia_nim" { "NVIDIA_NGC" } else { entry.base.unwrap().upstream.name() };
        self.fakes.named(name).unwrap()
    }

    async fn probe(&self, name: &str, fields: &[(&str, &str)], base_url: Option<&str>) -> Probe {
        let (fields, base_url) = (secrets(fields), base_url.map(|url| Url::parse(url).unwrap()));
        let probe = of(name).probe(&Credential::new(&fields, base_url.as_ref()), &self.egress).await;
        assert!(!probe.message.contains("secret"), "{name}: {}", probe.message);
        probe
    }

    async fn billing(&self, name: &str, fields: &[(&str, &str)], base_url: Option<&str>) -> Billing {
        let (fields, base_url) = (secrets(fields), base_url.map(|url| Url::parse(url).unwrap()));
        let billing =
            of(name).billing(&Credential::new(&fields, base_url.as_ref()), &self.egress, Timestamp::now()).await;
        if let Billing::NotTold(reason) | Billing::Failed(reason) = &billing {
            assert!(!reason.contains("secret"), "{name}: {reason}");
        }
        billing
    }
}

fn secrets(fields: &[(&str, &str)]) -> BTreeMap<String, SecretString> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect()
}

fn page(status: u16) -> Answer {
    Answer::status(status)
        .header("content-type", "text/html; charset=utf-8")
        .body("<html><title>Sign in</title></html>")
}

fn amounts(balance: Option<f64>, used_today: Option<f64>, used_month: Option<f64>, currency: &str) -> Billing {
    Billing::Told(Amounts { balance, used_today, used_month, currency: currency.into() })
}

#[tokio::test]
async fn every_provider_tells_a_good_key_from_a_bad_one_and_says_nothing_while_it_throttles() {
    let world = World::start().await;
    let key = [("api_key", KEY)];
    for provider in all() {
        let (name, fake) = (provider.entry().name, world.judge_of(*provider));
        let verdict = async || world.probe(name, &key, None).await.verdict;
        assert_eq!(verdict().await, Invalid, "{name}");
        fake.add_key(KEY);
        assert_eq!(verdict().await, Valid, "{name}");
        fake.throttle(1, 7);
        let throttled = world.probe(name, &key, None).await;
        assert_eq!((throttled.verdict, throttled.retry_after), (Inconclusive, Some(Duration::from_secs(7))), "{name}");
        assert_eq!(verdict().await, Valid, "{name}");
        fake.revoke_key(KEY);
        assert_eq!(verdict().await, Invalid, "{name}");
    }
}

#[tokio::test]
async fn nothing_is_asked_that_could_be_billed_for() {
    let world = World::start().await;
    for provider in all() {
        world.judge_of(*provider).add_key(KEY);
        world.probe(provider.entry().name, &[("api_key", KEY)], None).await;
        world.billing(provider.entry().name, &[("api_key", KEY)], None).await;
    }
    for (name, fake) in world.fakes.all() {
        for asked in fake.host.requests().iter().filter(|asked| asked.method != "GET") {
            match asked.path.as_str() {
                "/v1/check-api-key" | "/v3/keys/get-caller-info" => {}
                path if path.ends_with("/chat/completions") => {
                    assert_eq!(asked.json()["model"], "causeway-key-check", "{name}");
                }
                path => panic!("{name} was asked {path}"),
            }
        }
    }
}

#[tokio::test]
async fn no_answer_out_of_place_judges_a_key_or_tells_of_money() {
    let world = World::start().await;
    for provider in all() {
        let (name, host) = (provider.entry().name, &world.judge_of(*provider).host);
        let mut faults = vec![Fault::Close];
        faults.extend([200, 302, 401, 403, 404, 429, 500, 503].map(|status| Fault::Answer(page(status))));
        faults.extend([200, 201, 400, 404, 418, 500, 529].map(|it| Fault::Answer(Answer::status(it).json(&json!({})))));
        faults
            .extend(["", "null", "[", "\"OK\"", "{\"data\":{}}"].map(|it| Fault::Answer(Answer::status(200).body(it))));
        for fault in faults {
            host.faults().all(fault.clone());
            let probe = world.probe(name, &[("api_key", KEY)], None).await;
            assert_eq!((probe.verdict, probe.exhausted), (Inconclusive, false), "{name}: {fault:?}: {}", probe.message);
            let billing = world.billing(name, &[("api_key", KEY), ("admin_key", KEY)], None).await;
            assert!(!matches!(billing, Billing::Told(_)), "{name}: {fault:?}: {billing:?}");
            host.faults().clear();
        }
    }
}

/// An answer to a real key, where a made-up one is refused if the provider is shown one first.
async fn answered(world: &World, name: &str, answer: Answer) -> Probe {
    let faults = world.judge_of(named(name).unwrap()).host.faults();
    if matches!(name, "together" | "cerebras" | "perplexity" | "sambanova") {
        faults.next(1, Fault::Answer(Answer::status(401).json(&json!({ "error": { "message": "Invalid" } }))));
    }
    faults.all(Fault::Answer(answer));
    let probe = world.probe(name, &[("api_key", KEY)], None).await;
    faults.clear();
    probe
}

#[tokio::test]
async fn each_provider_is_heard_in_its_own_words() {
    let world = World::start().await;
    let error =
        |kind: &str, code: &str, message: &str| json!({ "error": { "type": kind, "code": code, "message": message } });
    let said = |message: &str| json!({ "error": { "message": message } });
    let google = |reason: &str| json!({ "error": { "message": "?", "details": [{ "reason": reason }] } });
    let anthropic =
        |kind: &str, message: &str| json!({ "type": "error", "error": { "type": kind, "message": message } });
    let eleven = |word: &str| json!({ "detail": { "status": word, "message": "?" } });
    let balance = |balance: Value| json!({ "data": { "available_balance": balance, "totalBalance": balance } });
    let router = |limit: Value| json!({ "data": { "usage": 1.5, "limit_remaining": limit } });
    let xai =
        |key: bool, team: bool| json!({ "api_key_blocked": key, "api_key_disabled": false, "team_blocked": team });
    let limited = (Limited, false);
    let used_up = (Limited, true);
    let unknown = (Inconclusive, false);
    let (good, bad) = ((Valid, false), (Invalid, false));
    for (name, status, body, expected) in [
        ("openrouter", 200, router(json!(0)), used_up),
        ("openrouter", 200, router(json!(-0.5)), used_up),
        ("openrouter", 200, router(json!(0.01)), good),
        ("openrouter", 200, router(json!(null)), good),
        ("openrouter", 200, router(json!("much")), unknown),
        ("openrouter", 200, said("it went wrong"), unknown),
        (
            "openrouter",
            402,
            json!({ "error": { "code": 402, "metadata": { "limit_source": "openrouter_credits" } } }),
            used_up,
        ),
        ("openrouter", 402, error("", "in_flight_budget_exhausted", "?"), unknown),
        ("openrouter", 403, said("flagged"), unknown),
        ("groq", 400, said("Organization has been restricted."), unknown),
        ("groq", 402, json!({}), used_up),
        ("groq", 403, said("Forbidden"), unknown),
        ("groq", 498, json!({}), unknown),
        ("openai", 401, error("invalid_request_error", "invalid_api_key", "sk-secret"), bad),
        ("openai", 401, error("invalid_request_error", "account_deactivated", "?"), bad),
        ("openai", 401, error("invalid_request_error", "ip_not_authorized", "?"), limited),
        ("openai", 401, said("Your IP not authorized"), limited),
        ("openai", 401, said("?"), unknown),
        ("openai", 403, said("Missing scopes: api.model.read"), limited),
        ("openai", 403, error("request_forbidden", "unsupported_country_region_territory", "?"), unknown),
        ("openai", 429, error("insufficient_quota", "insufficient_quota", "?"), used_up),
        ("openai", 429, error("insufficient_quota", "organization_spend_limit_exceeded", "?"), used_up),
        ("openai", 429, error("requests", "rate_limit_exceeded", "?"), unknown),
        ("anthropic", 401, anthropic("authentication_error", "invalid x-api-key"), bad),
        ("anthropic", 401, anthropic("something_else", "?"), unknown),
        ("anthropic", 404, anthropic("not_found_error", "Not found"), bad),
        ("anthropic", 402, anthropic("billing_error", "?"), used_up),
        ("anthropic", 400, anthropic("invalid_request_error", "Your credit balance is too low to access"), used_up),
        (
            "anthropic",
            400,
            anthropic("invalid_request_error", "You have reached your specified API usage limits."),
            used_up,
        ),
        ("anthropic", 400, anthropic("invalid_request_error", "?"), unknown),
        ("anthropic", 403, anthropic("permission_error", "?"), unknown),
        ("anthropic", 429, anthropic("rate_limit_error", "enforced_spend_limit_reached"), used_up),
        ("anthropic", 529, anthropic("overloaded_error", "?"), unknown),
        ("google_ai", 400, google("API_KEY_INVALID"), bad),
        ("google_ai", 400, said("API key expired. Please renew the API key."), bad),
        ("google_ai", 400, said("User location is not supported"), unknown),
        ("google_ai", 401, said("?"), bad),
        ("google_ai", 402, said("?"), used_up),
        ("google_ai", 403, google("API_KEY_HTTP_REFERRER_BLOCKED"), limited),
        ("google_ai", 403, google("SERVICE_DISABLED"), limited),
        ("google_ai", 403, google("CONSUMER_SUSPENDED"), unknown),
        ("google_ai", 403, said("Your API key was reported as leaked."), bad),
        ("mistral", 402, json!({}), used_up),
        ("mistral", 403, json!({}), unknown),
        ("deepseek", 200, json!({ "is_available": false, "balance_infos": [] }), used_up),
        ("deepseek", 402, said("Insufficient Balance"), used_up),
        ("deepseek", 422, said("?"), unknown),
        ("xai", 200, xai(true, false), bad),
        ("xai", 200, xai(false, true), used_up),
        ("xai", 200, xai(false, false), good),
        ("xai", 400, json!({ "error": "Incorrect API key provided: xai-secret" }), bad),
        ("xai", 400, json!({ "error": "Invalid argument" }), unknown),
        ("xai", 401, json!({}), bad),
        ("xai", 429, json!({ "error": "Your team has used all available credits" }), used_up),
        ("together", 402, json!({}), used_up),
        ("together", 403, said("too long"), unknown),
        ("fireworks", 403, json!({ "code": 7, "message": "Permission denied" }), bad),
        ("fireworks", 402, json!({}), used_up),
        ("fireworks", 412, json!({ "code": 9, "message": "Account is suspended" }), used_up),
        ("perplexity", 401, error("insufficient_quota", "insufficient_quota", "?"), used_up),
        ("perplexity", 401, said("Invalid API key"), bad),
        ("perplexity", 400, said("Invalid model"), good),
        ("cohere", 200, json!({ "valid": false }), bad),
        ("cohere", 402, json!({}), used_up),
        ("cerebras", 402, json!({}), used_up),
        ("sambanova", 404, said("Model not found"), good),
        ("sambanova", 402, json!({}), used_up),
        ("nvidia_nim", 200, json!({ "requestStatus": { "statusCode": "FAILURE" } }), unknown),
        ("huggingface", 402, json!({}), used_up),
        ("huggingface", 403, json!({}), unknown),
        ("elevenlabs", 400, eleven("invalid_api_key"), bad),
        ("elevenlabs", 401, eleven("missing_permissions"), limited),
        ("elevenlabs", 401, eleven("quota_exceeded"), used_up),
        ("elevenlabs", 401, eleven("detected_unusual_activity"), unknown),
        ("elevenlabs", 429, eleven("too_many_concurrent_requests"), unknown),
        ("elevenlabs", 200, json!({ "character_count": 10, "character_limit": 10 }), used_up),
        (
            "elevenlabs",
            200,
            json!({ "character_count": 10, "character_limit": 10, "can_extend_character_limit": true }),
            good,
        ),
        ("serper", 401, json!({ "message": "Unauthorized." }), bad),
        ("serper", 403, json!({ "message": "Unauthorized." }), bad),
        ("serper", 403, json!({}), unknown),
        ("serper", 200, json!({ "balance": 0 }), used_up),
        ("serper", 200, json!({ "credits": 12 }), good),
        ("serpapi", 403, json!({ "error": "The account was deleted" }), bad),
        ("serpapi", 200, json!({ "total_searches_left": 0, "api_key": "secret" }), used_up),
        ("serpapi", 429, json!({ "error": "hourly limit" }), unknown),
        ("tavily", 432, json!({}), used_up),
        ("tavily", 433, json!({}), used_up),
        ("moonshot", 200, balance(json!(-0.1)), used_up),
        ("moonshot", 429, error("exceeded_current_quota_error", "exceeded_current_quota_error", "?"), used_up),
        ("siliconflow", 200, balance(json!("0.00")), limited),
        ("siliconflow", 200, balance(json!("-1.5")), used_up),
        ("siliconflow", 403, json!({ "code": 30001, "message": "balance is insufficient" }), used_up),
        ("novita", 200, json!({ "availableBalance": "0" }), used_up),
        ("novita", 403, json!({ "reason": "NOT_ENOUGH_BALANCE" }), used_up),
        ("deepinfra", 200, json!({ "stripe_balance": -5, "recent": 1, "suspended": true }), used_up),
        ("deepinfra", 200, json!({ "stripe_balance": -5, "recent": 5 }), used_up),
        ("deepinfra", 200, json!({ "stripe_balance": 3, "recent": 1 }), good),
    ] {
        let probe = answered(&world, name, Answer::status(status).json(&body)).await;
        assert_eq!((probe.verdict, probe.exhausted), expected, "{name}: {status} {body}: {}", probe.message);
    }
    let allowance = Answer::status(429).header("x-ratelimit-limit-req-minute", "0").json(&json!({}));
    assert!(answered(&world, "mistral", allowance).await.exhausted);
}

#[tokio::test]
async fn a_public_catalogue_proves_nothing() {
    let world = World::start().await;
    let list = || Fault::Answer(Answer::status(200).json(&json!({ "object": "list", "data": [{ "id": "one" }] })));
    for provider in [&world.fakes.together, &world.fakes.cerebras, &world.fakes.perplexity, &world.fakes.sambanova] {
        provider.add_key(KEY);
        provider.host.faults().all(list());
    }
    for name in ["together", "cerebras", "perplexity", "sambanova"] {
        let probe = world.probe(name, &[("api_key", KEY)], None).await;
        assert_eq!(probe.verdict, Inconclusive, "{name}");
    }
    // An error that comes before the key is looked at proves as little.
    for fake in [&world.fakes.perplexity, &world.fakes.sambanova] {
        fake.host.faults().clear();
        fake.host
            .faults()
            .all(Fault::Answer(Answer::status(400).json(&json!({ "error": { "message": "Invalid model" } }))));
    }
    for name in ["perplexity", "sambanova"] {
        assert_eq!(world.probe(name, &[("api_key", KEY)], None).await.verdict, Inconclusive, "{name}");
    }
}

#[tokio::test]
async fn what_a_provider_tells_of_money_comes_in_its_own_unit_and_changes() {
    let world = World::start().await;
    for (name, before, after) in [
        ("openrouter", (Some(25.5), Some(1.25), Some(12.5)), (Some(23.0), Some(3.75), Some(15.0))),
        ("deepseek", (Some(25.5), None, None), (Some(23.0), None, None)),
        ("elevenlabs", (Some(25.5), None, None), (Some(23.0), None, None)),
        ("serper", (Some(25.5), None, None), (Some(23.0), None, None)),
        ("serpapi", (Some(25.5), None, Some(12.5)), (Some(23.0), None, Some(15.0))),
        ("tavily", (Some(25.5), None, Some(12.5)), (Some(23.0), None, Some(15.0))),
        ("moonshot", (Some(25.5), None, None), (Some(23.0), None, None)),
        ("siliconflow", (Some(25.5), None, None), (Some(23.0), None, None)),
        ("novita", (Some(25.5), None, None), (Some(23.0), None, None)),
        ("deepinfra", (Some(25.5), None, Some(12.5)), (Some(23.0), None, Some(15.0))),
    ] {
        let unit = match name {
            "elevenlabs" => "characters",
            "serper" | "tavily" => "credits",
            "serpapi" => "searches",
            "siliconflow" => "CNY",
            _ => "USD",
        };
        let told = |(balance, today, month)| amounts(balance, today, month, unit);
        let fake = world.judge_of(named(name).unwrap());
        fake.add_key(KEY);
        assert_eq!(world.billing(name, &[("api_key", KEY)], None).await, told(before), "{name}");
        fake.spend(KEY, 2.5);
        assert_eq!(world.billing(name, &[("api_key", KEY)], None).await, told(after), "{name}");
        fake.throttle(1, 1);
        let throttled = world.billing(name, &[("api_key", KEY)], None).await;
        assert!(matches!(throttled, Billing::Failed(_)), "{name}: {throttled:?}");
        fake.revoke_key(KEY);
        let revoked = world.billing(name, &[("api_key", KEY)], None).await;
        assert!(matches!(revoked, Billing::Failed(_)), "{name}: {revoked:?}");
    }
    for name in ["groq", "mistral", "together", "perplexity", "cohere", "cerebras", "huggingface", "google_ai"] {
        let billing = world.billing(name, &[("api_key", KEY)], None).await;
        assert!(matches!(billing, Billing::NotTold(_)), "{name}: {billing:?}");
    }
}

#[tokio::test]
async fn an_amount_that_cannot_be_read_is_a_failure_and_never_0() {
    let world = World::start().await;
    for (name, body) in [
        ("openrouter", json!({ "data": { "usage": "many", "limit_remaining": 5 } })),
        ("openrouter", json!({ "data": { "usage": 1, "limit_remaining": "" } })),
        ("openrouter", json!({ "data": { "usage": 1, "usage_daily": [], "limit_remaining": 5 } })),
        ("deepseek", json!({ "is_available": true, "balance_infos": [] })),
        ("deepseek", json!({ "is_available": true, "balance_infos": [{ "currency": "USD", "total_balance": null }] })),
        ("deepseek", json!({ "is_available": true, "balance_infos": [{ "total_balance": "5" }] })),
        ("elevenlabs", json!({ "character_count": 5 })),
        ("elevenlabs", json!({ "character_count": 5, "character_limit": "unlimited" })),
        ("serper", json!({ "balance": null })),
        ("serper", json!({ "balance": "NaN" })),
        ("serpapi", json!({ "plan_searches_left": 5 })),
        ("tavily", json!({ "key": { "usage": 5 }, "account": {} })),
        ("tavily", json!({ "key": { "limit": 100 }, "account": { "plan_usage": 5 } })),
        ("moonshot", json!({ "data": { "available_balance": "inf" } })),
        ("siliconflow", json!({ "data": { "balance": "5" } })),
        ("novita", json!({ "cashBalance": "5" })),
        ("deepinfra", json!({ "stripe_balance": null, "recent": 1 })),
        ("fireworks", json!({ "accounts": [] })),
        ("fireworks", json!({ "accounts": [{ "name": "accounts/../admin" }] })),
    ] {
        let faults = world.judge_of(named(name).unwrap()).host.faults();
        faults.all(Fault::Answer(Answer::status(200).json(&body)));
        let billing = world.billing(name, &[("api_key", KEY)], None).await;
        assert!(matches!(billing, Billing::Failed(_)), "{name}: {body}: {billing:?}");
        faults.clear();
    }
}

#[tokio::test]
async fn a_key_without_a_cap_has_an_unknown_balance() {
    let world = World::start().await;
    world.fakes.openrouter.set_key(KEY, AiKey { balance: None, ..AiKey::default() });
    let told = world.billing("openrouter", &[("api_key", KEY)], None).await;
    assert_eq!(told, amounts(None, Some(1.25), Some(12.5), "USD"));

    // The account's credits are known to a management key; what is left is the less of the two.
    world.fakes.openrouter.set_key("manager-secret", AiKey { balance: Some(80.0), ..AiKey::managing() });
    let both = [("api_key", KEY), ("management_key", "manager-secret")];
    assert_eq!(world.billing("openrouter", &both, None).await, amounts(Some(80.0), Some(1.25), Some(12.5), "USD"));
    world.fakes.openrouter.set_key(KEY, AiKey::with_balance(3.0));
    assert_eq!(world.billing("openrouter", &both, None).await, amounts(Some(3.0), Some(1.25), Some(12.5), "USD"));
    let refused = world.billing("openrouter", &[("api_key", KEY), ("management_key", KEY)], None).await;
    assert!(matches!(refused, Billing::Failed(_)), "{refused:?}");
    let managing = world.probe("openrouter", &[("api_key", "manager-secret")], None).await;
    assert_eq!(managing.verdict, Limited);
}

/// What the fakes tell of the month's costs when they are asked from its start: on a month's first day that is today's.
fn of_the_month() -> Option<f64> {
    let is_first = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).day() == 1;
    Some(if is_first { 1.25 } else { 12.5 })
}

#[tokio::test]
async fn bills_are_added_up_by_line() {
    let world = World::start().await;
    world.fakes.fireworks.add_key(KEY);
    let told = world.billing("fireworks", &[("api_key", KEY)], None).await;
    assert_eq!(told, amounts(None, Some(1.25), of_the_month(), "USD"));
    let bill = |lines: Value| Fault::Answer(Answer::status(200).json(&json!({ "lineItems": lines })));
    let line = |currency: &str, units: Value, nanos: Value| json!({ "totalCost": { "currencyCode": currency, "units": units, "nanos": nanos } });
    let faults = world.fakes.fireworks.host.faults();
    for (lines, expected) in [
        (json!([]), Some((0.0, "USD"))),
        (json!([line("EUR", json!("3"), json!(250_000_000)), line("EUR", json!("-1"), json!(0))]), Some((2.25, "EUR"))),
        (json!([line("EUR", json!("3"), json!(0)), line("USD", json!("1"), json!(0))]), None),
        (json!([line("EUR", json!("three"), json!(0))]), None),
        (json!([{ "description": "?" }]), None),
    ] {
        faults.next_on("/billing/summary", 2, bill(lines.clone()));
        let told = world.billing("fireworks", &[("api_key", KEY)], None).await;
        match expected {
            Some((sum, currency)) => assert_eq!(told, amounts(None, Some(sum), Some(sum), currency), "{lines}"),
            None => assert!(matches!(told, Billing::Failed(_)), "{lines}: {told:?}"),
        }
        faults.clear();
    }
}

#[tokio::test]
async fn costs_are_told_to_admin_keys_only() {
    let world = World::start().await;
    for (name, fake) in [("openai", &world.fakes.openai), ("anthropic", &world.fakes.anthropic)] {
        fake.add_key(KEY);
        fake.set_key("admin-secret", AiKey::managing());
        let billing = world.billing(name, &[("api_key", KEY)], None).await;
        assert!(matches!(&billing, Billing::NotTold(reason) if reason.contains("admin_key")), "{name}: {billing:?}");
        let keys = [("api_key", KEY), ("admin_key", "admin-secret")];
        let told = world.billing(name, &keys, None).await;
        assert_eq!(told, amounts(None, Some(1.25), of_the_month(), "USD"), "{name}");
        let billing = world.billing(name, &[("api_key", KEY), ("admin_key", KEY)], None).await;
        assert!(matches!(billing, Billing::Failed(_)), "{name}: {billing:?}");
    }
    let admin = world.probe("anthropic", &[("api_key", "sk-ant-admin01-secret")], None).await;
    assert_eq!(admin.verdict, Inconclusive);
    assert!(
        world
            .fakes
            .anthropic
            .host
            .requests()
            .iter()
            .all(|asked| asked.header("x-api-key") != Some("sk-ant-admin01-secret"))
    );
}

#[tokio::test]
async fn days_and_pages_of_costs_are_added_up() {
    let world = World::start().await;
    let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    let day = |start: &str, value: Value| {
        let start: Timestamp = start.parse().unwrap();
        json!({ "start_time": start.as_second(), "results": [{ "amount": { "value": value, "currency": "usd" } }] })
    };
    let page = |days: Value, next: Option<&str>| {
        Fault::Answer(Answer::status(200).json(&json!({ "data": days, "has_more": next.is_some(), "next_page": next })))
    };
    let asked = async || {
        let fields = secrets(&[("api_key", KEY), ("admin_key", KEY)]);
        of("openai").billing(&Credential::new(&fields, None), &world.egress, now).await
    };
    let faults = world.fakes.openai.host.faults();
    faults.next(1, page(json!([day("2026-11-01T00:00:00Z", json!(2.5))]), Some("two")));
    faults.next(
        1,
        page(json!([day("2026-11-20T00:00:00Z", json!("1.5")), day("2026-11-21T00:00:00Z", json!(0.5))]), None),
    );
    assert_eq!(asked().await, amounts(None, Some(0.5), Some(4.5), "USD"));
    let requests = world.fakes.openai.host.requests();
    let queries: Vec<_> = requests.iter().filter_map(|asked| asked.query.as_deref()).collect();
    assert_eq!(queries[0], "start_time=1793491200&bucket_width=1d&limit=31");
    assert!(queries[1].ends_with("&page=two"));

    faults.next(1, page(json!([]), None));
    assert_eq!(asked().await, amounts(None, Some(0.0), Some(0.0), "USD"));
    faults.next(1, page(json!([day("2026-11-20T00:00:00Z", json!("?"))]), None));
    assert!(matches!(asked().await, Billing::Failed(_)));
    faults.all(page(json!([]), Some("again")));
    assert!(matches!(asked().await, Billing::Failed(_)));
}

#[tokio::test]
async fn xais_balance_is_turned_round() {
    let world = World::start().await;
    world.fakes.xai.add_key(KEY);
    let billing = world.billing("xai", &[("api_key", KEY)], None).await;
    assert!(matches!(&billing, Billing::NotTold(reason) if reason.contains("management_key")), "{billing:?}");
    world.fakes.xai_management.set_key("manager-secret", AiKey::with_balance(12.34));
    let both = [("api_key", KEY), ("management_key", "manager-secret")];
    assert_eq!(world.billing("xai", &both, None).await, amounts(Some(12.34), None, None, "USD"));
    world.fakes.xai_management.host.faults().all(Fault::Answer(Answer::status(200).json(&json!({ "total": {} }))));
    assert!(matches!(world.billing("xai", &both, None).await, Billing::Failed(_)));
}

#[tokio::test]
async fn a_key_that_may_not_read_its_account_is_still_judged() {
    let world = World::start().await;
    for (name, fake, verdict) in [
        ("elevenlabs", &world.fakes.elevenlabs, Limited),
        ("deepinfra", &world.fakes.deepinfra, Valid),
        ("fireworks", &world.fakes.fireworks, Valid),
    ] {
        fake.set_key(KEY, AiKey::in_condition(Condition::Restricted));
        assert_eq!(world.probe(name, &[("api_key", KEY)], None).await.verdict, verdict, "{name}");
        let billing = world.billing(name, &[("api_key", KEY)], None).await;
        assert!(matches!(billing, Billing::NotTold(_)), "{name}: {billing:?}");
    }
}

#[tokio::test]
async fn a_key_without_credit_is_said_to_have_none_where_its_provider_tells() {
    let world = World::start().await;
    for name in [
        "openrouter",
        "deepseek",
        "xai",
        "elevenlabs",
        "serper",
        "serpapi",
        "tavily",
        "moonshot",
        "novita",
        "deepinfra",
    ] {
        world.judge_of(named(name).unwrap()).set_key(KEY, AiKey::in_condition(Condition::Exhausted));
        let probe = world.probe(name, &[("api_key", KEY)], None).await;
        assert_eq!((probe.verdict, probe.exhausted), (Limited, true), "{name}: {}", probe.message);
    }
}

#[tokio::test]
async fn nvidias_refusal_counts_for_keys_of_todays_kind_only() {
    let world = World::start().await;
    let older = world.probe("nvidia_nim", &[("api_key", "bmljZS1zZWNyZXQ")], None).await;
    assert_eq!(older.verdict, Inconclusive);
}

#[tokio::test]
async fn regions_have_keys_and_currencies_of_their_own() {
    let world = World::start().await;
    world.fakes.moonshot_cn.add_key(KEY);
    world.fakes.siliconflow_com.add_key(KEY);
    for (name, base_url, currency) in
        [("moonshot", "https://api.moonshot.cn/v1", "CNY"), ("siliconflow", "https://api.siliconflow.com/v1/", "USD")]
    {
        let key = [("api_key", KEY)];
        assert_eq!(world.probe(name, &key, None).await.verdict, Invalid, "{name}");
        assert_eq!(world.probe(name, &key, Some(base_url)).await.verdict, Valid, "{name}");
        assert_eq!(
            world.billing(name, &key, Some(base_url)).await,
            amounts(Some(25.5), None, None, currency),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_key_with_an_address_of_its_own_is_judged_there() {
    let world = World::start().await;
    let (base_url, key) = (world.other.base_url(), [("api_key", KEY)]);
    for name in ["groq", "openrouter", "deepseek", "nvidia_nim", "a_provider_of_my_own"] {
        let verdict = async || world.probe(name, &key, Some(&base_url)).await.verdict;
        assert_eq!(verdict().await, Invalid, "{name}");
        world.other.add_key(KEY);
        assert_eq!(verdict().await, Valid, "{name}");
        world.other.throttle(1, 7);
        assert_eq!(verdict().await, Inconclusive, "{name}");
        world.other.set_catalogue(Catalogue::Public);
        assert_eq!(verdict().await, Inconclusive, "{name}");
        world.other.set_catalogue(Catalogue::ChecksKeys);
        world.other.revoke_key(KEY);
        let billing = world.billing(name, &key, Some(&base_url)).await;
        assert!(matches!(billing, Billing::NotTold(_)), "{name}: {billing:?}");
    }
    // The provider's own address, written out, is as good as none.
    world.fakes.groq.add_key(KEY);
    assert_eq!(world.probe("groq", &key, Some("https://api.groq.com/openai/v1")).await.verdict, Valid);

    // What speaks a protocol of its own is asked its own question.
    let base_url = format!("{}/v1", world.fakes.anthropic.host.origin());
    world.fakes.anthropic.add_key(KEY);
    assert_eq!(world.probe("anthropic", &key, Some(&base_url)).await.verdict, Valid);
    assert!(world.fakes.anthropic.host.requests().iter().all(|asked| asked.path == "/v1/models"));
    // What is not there judges no key, in whatever words; whether a made-up one hears it too or not.
    let refusal = |status: u16, code: &str| {
        Fault::Answer(
            Answer::status(status).json(&json!({ "type": "error", "error": { "type": code, "message": "?" } })),
        )
    };
    let faults = world.fakes.anthropic.host.faults();
    for first in [refusal(404, "not_found_error"), refusal(401, "authentication_error")] {
        faults.next(1, first);
        faults.all(refusal(404, "not_found_error"));
        assert_eq!(world.probe("anthropic", &key, Some(&base_url)).await.verdict, Inconclusive);
        faults.clear();
    }
}

#[tokio::test]
async fn an_address_that_may_not_be_called_judges_nothing() {
    let world = World::start().await;
    let base_url = format!("{}/v1", world.fakes.mistral.host.origin());
    for base_url in [base_url.as_str(), "http://169.254.169.254/latest"] {
        let probe = world.probe("mine", &[("api_key", KEY)], Some(base_url)).await;
        assert_eq!(probe.verdict, Inconclusive, "{base_url}");
    }
    assert!(world.fakes.mistral.host.requests().is_empty());
    for (fields, base_url) in [(vec![], Some("https://api.groq.com")), (vec![("api_key", KEY)], None)] {
        assert_eq!(world.probe("mine", &fields, base_url).await.verdict, Inconclusive);
    }
    for provider in all() {
        assert_eq!(world.probe(provider.entry().name, &[], None).await.verdict, Inconclusive);
    }
}

#[test]
fn every_entry_is_complete_and_has_a_name_of_its_own() {
    let mut names: Vec<_> = all().iter().map(|provider| provider.entry().name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all().len());
    for provider in all() {
        let entry = provider.entry();
        assert!(entry.fields.iter().any(|field| field.name == "api_key" && field.required), "{}", entry.name);
        assert!(entry.name.chars().all(|it| it.is_ascii_lowercase() || it == '_'), "{}", entry.name);
        assert!(!entry.label.is_empty() && entry.base.is_some());
    }
}
