//! Money: what providers tell, spend limits, and the history of uses and costs.

use fakes::ai::{AiKey, AiProvider};
use fakes::{Answer, Fault};
use kit::TestApp;
use serde_json::{Value, json};

use super::{PATH, acquire, get};

const KEY: &str = "sk-or-v1-0123456789abcdef";
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Lets `keys-billing` do its hourly run.
async fn run(app: &TestApp) -> Value {
    let answer = app.invoke("keys-billing", &app.scheduled_event()).await;
    assert_eq!(answer.header("x-amz-function-error"), None, "{}", answer.text);
    answer.expect(200)
}

/// Takes a key's secret away for good, and lets what is remembered of it be forgotten.
async fn lose_secret(app: &TestApp, id: u64) {
    let name = app.secret_names().await.into_iter().find(|name| name.ends_with(&format!("{id:010}"))).unwrap();
    app.secrets.delete_secret().secret_id(name).force_delete_without_recovery(true).send().await.unwrap();
    app.advance(61);
}

/// Adds [`KEY`] to a provider's pool; its fake knows it.
async fn create(app: &TestApp, provider: &str, more: Value) -> u64 {
    let mut body = json!({ "provider_name": provider, "credentials": { "api_key": KEY } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app.keys().post(PATH, &body).await.expect(201)["integration"]["id"].as_u64().unwrap()
}

/// The fake of a provider.
fn fake<'a>(app: &'a TestApp, provider: &str) -> &'a AiProvider {
    app.fakes.ai.named(&provider.to_uppercase()).unwrap()
}

/// A key's amounts: what is left, used today, used this month, and their unit.
fn amounts(shown: &Value) -> Value {
    let field = |name: &str| shown.get(name).cloned().unwrap_or_default();
    json!([field("cached_balance"), field("cached_usage_today"), field("cached_usage_month"), field("cached_currency")])
}

#[tokio::test]
async fn what_each_provider_tells_comes_in_its_own_unit() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let mut created = Vec::new();
    for (provider, before, after) in [
        ("openrouter", json!([25.5, 1.25, 12.5, "USD"]), json!([23.0, 3.75, 15.0, "USD"])),
        ("deepseek", json!([25.5, null, null, "USD"]), json!([23.0, null, null, "USD"])),
        ("elevenlabs", json!([25.5, null, null, "characters"]), json!([23.0, null, null, "characters"])),
        ("serper", json!([25.5, null, null, "credits"]), json!([23.0, null, null, "credits"])),
        ("serpapi", json!([25.5, null, 12.5, "searches"]), json!([23.0, null, 15.0, "searches"])),
        ("tavily", json!([25.5, null, 12.5, "credits"]), json!([23.0, null, 15.0, "credits"])),
        ("moonshot", json!([25.5, null, null, "USD"]), json!([23.0, null, null, "USD"])),
        ("siliconflow", json!([25.5, null, null, "CNY"]), json!([23.0, null, null, "CNY"])),
        ("novita", json!([25.5, null, null, "USD"]), json!([23.0, null, null, "USD"])),
        ("deepinfra", json!([25.5, null, 12.5, "USD"]), json!([23.0, null, 15.0, "USD"])),
        ("groq", json!([null, null, null, null]), json!([null, null, null, null])),
    ] {
        fake(&app, provider).add_key(KEY);
        let id = create(&app, provider, json!({})).await;
        let shown = get(&keys, id).await;
        assert_eq!(amounts(&shown), json!([null, null, null, null]), "{provider}, before the first sync");
        assert!(shown.get("cached_currency").is_none() && shown.get("billing_synced_at").is_none(), "{shown}");
        created.push((provider, id, before, after));
    }
    assert_eq!(run(&app).await, json!({ "synced": 10, "not_told": 1, "failed": 0, "finished": true }));
    for (provider, id, before, _) in &created {
        let shown = get(&keys, *id).await;
        assert_eq!(amounts(&shown), *before, "{provider}");
        let at = if *provider == "groq" { Value::Null } else { json!("2026-05-28T20:26:40Z") };
        assert_eq!(shown.get("billing_synced_at").cloned().unwrap_or_default(), at, "{provider}");
        fake(&app, provider).spend(KEY, 2.5);
    }
    app.advance(HOUR);
    assert_eq!(run(&app).await["synced"], 10);
    for (provider, id, _, after) in &created {
        let shown = get(&keys, *id).await;
        assert_eq!(amounts(&shown), *after, "{provider}");
        if *provider != "groq" {
            assert_eq!(shown["billing_synced_at"], "2026-05-28T21:26:40Z", "{provider}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_fails_or_cannot_be_read_changes_nothing_and_never_writes_0() {
    let app = TestApp::start().await;
    let keys = app.keys();
    for (provider, unreadable) in [
        ("openrouter", json!({ "data": { "usage": "many", "limit_remaining": 5 } })),
        ("deepseek", json!({ "is_available": true, "balance_infos": [] })),
    ] {
        let provided = fake(&app, provider);
        provided.add_key(KEY);
        let id = create(&app, provider, json!({})).await;
        let faults = provided.host.faults();
        let broken = [
            Fault::Answer(Answer::status(200).json(&unreadable)),
            Fault::Answer(Answer::status(200).json(&json!({}))),
            Fault::Answer(Answer::status(200).body("<html>")),
            Fault::Answer(Answer::status(200)),
            Fault::Answer(Answer::status(500)),
            Fault::Answer(Answer::status(401)),
            Fault::Close,
        ];
        for (synced_before, expected) in [(false, 0), (true, 1)] {
            if synced_before {
                faults.clear();
                app.advance(HOUR);
                assert_eq!(run(&app).await["synced"], 1, "{provider}");
            }
            let before = get(&keys, id).await;
            assert_eq!(usize::from(before.get("billing_synced_at").is_some()), expected);
            for fault in &broken {
                faults.clear();
                faults.all(fault.clone());
                app.advance(HOUR);
                let tally = run(&app).await;
                assert_eq!((&tally["failed"], &tally["finished"]), (&json!(1), &json!(true)), "{provider}: {fault:?}");
                let asked = keys.post_empty(&format!("{PATH}/sync-billing?provider_name={provider}")).await.expect(200);
                let row = &asked["results"][0];
                assert_eq!((&asked["synced"], &asked["failed"]), (&json!(0), &json!(1)), "{asked}");
                assert_eq!((&row["status"], amounts(row)), (&json!("failed"), amounts(&before)), "{fault:?}");
                assert!(row["message"].is_string() && asked["totals"] == json!([]), "{asked}");
                assert_eq!(get(&keys, id).await, before, "{provider}: {fault:?}");
            }
            faults.clear();
        }
        let _ = keys.delete(&format!("{PATH}/{id}")).await.expect(200);
    }
}

#[tokio::test]
async fn spend_limits_warn_or_block_until_the_day_or_the_month_turns() {
    // Used today 1.25, this month 12.5.
    for (period, amount, action, exceeded) in [
        ("daily", 1.25, "warn", true),
        ("daily", 1.0, "block", true),
        ("daily", 1.26, "block", false),
        ("monthly", 12.5, "block", true),
        ("monthly", 10.0, "warn", true),
        ("monthly", 12.51, "block", false),
    ] {
        let case = format!("{period} {amount} {action}");
        let app = TestApp::start().await;
        let keys = app.keys();
        app.fakes.ai.openrouter.add_key(KEY);
        let limit = json!({
            "spend_limit_amount": amount, "spend_limit_period": period, "spend_limit_action": action,
        });
        let id = create(&app, "openrouter", limit).await;
        assert_eq!(get(&keys, id).await["spend_limit_exceeded"], false, "{case}: nothing is known yet");
        assert_eq!(run(&app).await["synced"], 1);
        assert_eq!(get(&keys, id).await["spend_limit_exceeded"], exceeded, "{case}");
        let health = keys.get(&format!("{PATH}/health")).await.expect(200);
        let told = health["recommendations"].to_string().contains("spend limit");
        assert_eq!(told, exceeded, "{case}: {health}");
        let acquired = keys.post(&format!("{PATH}/acquire"), &json!({ "provider_name": "openrouter" })).await;
        if !(exceeded && action == "block") {
            let _ = acquired.expect(200);
            continue;
        }
        let (end, wait) = match period {
            "daily" => ("2026-05-29T00:00:00Z", 12_800),
            _ => ("2026-06-01T00:00:00Z", 12_800 + 3 * DAY),
        };
        let passed = &acquired.expect(429)["detail"][0];
        assert_eq!((&passed["reason"], &passed["available_at"]), (&json!("spend_limit"), &json!(end)), "{case}");
        assert_eq!(acquired.header("retry-after"), Some(wait.to_string().as_str()), "{case}");
        app.advance(wait - 1);
        let _ = keys.post(&format!("{PATH}/acquire"), &json!({ "provider_name": "openrouter" })).await.expect(429);
        app.advance(1);
        assert_eq!(acquire(&keys, "openrouter").await.0, id, "{case}: by itself, before any sync");
        assert_eq!(get(&keys, id).await["spend_limit_exceeded"], false, "{case}");
        // What is told in the new period counts anew.
        app.fakes.ai.openrouter.set_key(KEY, AiKey { used_today: 0.5, used_month: 0.5, ..AiKey::default() });
        assert_eq!(run(&app).await["synced"], 1);
        assert_eq!(get(&keys, id).await["spend_limit_exceeded"], false, "{case}");
    }
}

#[tokio::test]
async fn a_changed_spend_limit_holds_at_once_whoever_told_the_amounts() {
    let app = TestApp::start().await;
    let keys = app.keys();
    app.fakes.ai.openrouter.add_key(KEY);
    app.fakes.ai.groq.add_key(KEY);
    let told = create(&app, "openrouter", json!({})).await;
    let reported = create(&app, "groq", json!({})).await;
    let (_, lease) = acquire(&keys, "groq").await;
    let report = json!({ "lease_id": lease, "outcome": "success", "cost": 1.25 });
    let _ = keys.post(&format!("{PATH}/report"), &report).await.expect(200);
    let _ = run(&app).await;
    for (id, provider) in [(told, "openrouter"), (reported, "groq")] {
        for (change, exceeded, status) in [
            (json!({ "spend_limit_amount": 1, "spend_limit_period": "daily" }), json!(true), 200),
            (json!({ "spend_limit_action": "block" }), json!(true), 429),
            (json!({ "spend_limit_amount": 2 }), json!(false), 200),
            (json!({ "spend_limit_amount": 1.25, "spend_limit_period": "monthly" }), json!(true), 429),
            (json!({ "key_label": "Renamed" }), json!(true), 429),
            (json!({ "spend_limit_amount": null }), Value::Null, 200),
        ] {
            let changed = keys.patch(&format!("{PATH}/{id}"), &change).await.expect(200);
            let shown = changed["integration"].get("spend_limit_exceeded").cloned().unwrap_or_default();
            assert_eq!(shown, exceeded, "{provider} {change}");
            let acquired = keys.post(&format!("{PATH}/acquire"), &json!({ "provider_name": provider })).await;
            assert_eq!(acquired.status, status, "{provider} {change}: {}", acquired.text);
        }
    }
}

#[tokio::test]
async fn reported_costs_of_a_month_add_up_over_its_days() {
    let app = TestApp::start().await;
    let keys = app.keys();
    app.fakes.ai.groq.add_key(KEY);
    let limit = json!({ "spend_limit_amount": 1, "spend_limit_period": "monthly", "spend_limit_action": "block" });
    let id = create(&app, "groq", limit).await;
    for exceeded in [false, false, true] {
        let (_, lease) = acquire(&keys, "groq").await;
        let report = json!({ "lease_id": lease, "outcome": "success", "cost": 0.4 });
        let _ = keys.post(&format!("{PATH}/report"), &report).await.expect(200);
        assert_eq!(run(&app).await["not_told"], 1);
        assert_eq!(get(&keys, id).await["spend_limit_exceeded"], exceeded);
        app.advance(DAY);
    }
    // The first of June.
    app.advance(DAY);
    assert_eq!(acquire(&keys, "groq").await.0, id);
}

#[tokio::test]
async fn reported_costs_cross_a_limit_though_the_provider_told_less_before_it_stopped_telling() {
    let app = TestApp::start().await;
    let keys = app.keys();
    app.fakes.ai.openrouter.add_key(KEY);
    let limit = json!({ "spend_limit_amount": 100, "spend_limit_period": "monthly", "spend_limit_action": "block" });
    let id = create(&app, "openrouter", limit).await;
    assert_eq!(run(&app).await["synced"], 1);
    app.fakes.ai.openrouter.host.faults().all(Fault::Answer(Answer::status(500)));
    let (_, lease) = acquire(&keys, "openrouter").await;
    let report = json!({ "lease_id": lease, "outcome": "success", "cost": 5_000 });
    let _ = keys.post(&format!("{PATH}/report"), &report).await.expect(200);
    app.advance(HOUR);
    assert_eq!(run(&app).await["failed"], 1);
    let shown = get(&keys, id).await;
    assert_eq!((&shown["cached_usage_month"], &shown["spend_limit_exceeded"]), (&json!(12.5), &json!(true)));
    let refused = keys.post(&format!("{PATH}/acquire"), &json!({ "provider_name": "openrouter" })).await.expect(429);
    assert_eq!(refused["detail"][0]["reason"], "spend_limit");
}

#[tokio::test]
async fn small_costs_add_up() {
    let app = TestApp::start().await;
    let keys = app.keys();
    app.fakes.ai.groq.add_key(KEY);
    let id = create(&app, "groq", json!({ "spend_limit_amount": 0.000_001, "spend_limit_period": "daily" })).await;
    for cost in [json!(0.000_000_4), json!(0.000_000_7), json!(1e-300)] {
        let (_, lease) = acquire(&keys, "groq").await;
        let report = json!({ "lease_id": lease, "outcome": "success", "cost": cost });
        let _ = keys.post(&format!("{PATH}/report"), &report).await.expect(200);
    }
    let chart = keys.get(&format!("{PATH}/{id}/usage")).await.expect(200);
    let cost = chart["totals"]["cost"].as_f64().unwrap();
    assert!((cost - 0.000_001_1).abs() < 1e-12, "{cost}");
    assert_eq!(run(&app).await["not_told"], 1);
    assert_eq!(get(&keys, id).await["spend_limit_exceeded"], true);
}

#[tokio::test]
async fn a_sync_on_demand_asks_the_active_keys_of_a_tenant_and_adds_up_by_currency() {
    let app = TestApp::start().await;
    let keys = app.keys();
    for provider in ["openrouter", "deepseek", "siliconflow", "serper", "groq"] {
        fake(&app, provider).add_key(KEY);
        create(&app, provider, json!({})).await;
    }
    let inactive = create(&app, "openrouter", json!({ "is_active": false })).await;
    let globex = app.keys_as(&app.tenant("globex").tokens.admin);
    let body = json!({ "provider_name": "openrouter", "credentials": { "api_key": KEY } });
    let other = globex.post(PATH, &body).await.expect(201)["integration"]["id"].as_u64().unwrap();

    let synced = keys.post_empty(&format!("{PATH}/sync-billing")).await.expect(200);
    assert_eq!((&synced["synced"], &synced["failed"]), (&json!(4), &json!(0)));
    let rows = synced["results"].as_array().unwrap();
    let of = |provider: &str| rows.iter().find(|row| row["provider_name"] == provider).unwrap();
    assert_eq!(rows.len(), 5);
    assert_eq!(amounts(of("openrouter")), json!([25.5, 1.25, 12.5, "USD"]));
    assert_eq!(
        (&of("groq")["status"], amounts(of("groq"))),
        (&json!("not_supported"), json!([null, null, null, null]))
    );
    let totals = json!([
        { "currency": "CNY", "balance": 25.5, "usage_today": null, "usage_month": null },
        { "currency": "USD", "balance": 51.0, "usage_today": 1.25, "usage_month": 12.5 },
        { "currency": "credits", "balance": 25.5, "usage_today": null, "usage_month": null },
    ]);
    assert_eq!(synced["totals"], totals);
    for (client, id) in [(&keys, inactive), (&globex, other)] {
        assert!(get(client, id).await.get("billing_synced_at").is_none());
    }
    let one = keys.post_empty(&format!("{PATH}/sync-billing?provider_name=serper")).await.expect(200);
    assert_eq!((&one["synced"], one["results"].as_array().unwrap().len()), (&json!(1), 1));
    let none = keys.post_empty(&format!("{PATH}/sync-billing?provider_name=tavily")).await.expect(200);
    assert_eq!((&none["synced"], &none["results"]), (&json!(0), &json!([])));
    let wrong = keys.post_empty(&format!("{PATH}/sync-billing?provider_name=No")).await.expect(422);
    assert_eq!(wrong["detail"][0]["loc"], json!(["query", "provider_name"]));
}

#[tokio::test]
async fn a_history_has_every_day_with_its_uses_and_costs() {
    let app = TestApp::start().await;
    let keys = app.keys();
    app.fakes.ai.groq.add_key(KEY);
    let id = create(&app, "groq", json!({})).await;
    let path = format!("{PATH}/{id}/usage");
    // Two days of uses; then one whose last use is reported on the day after.
    for outcomes in [&["success", "error"][..], &["rate_limited"]] {
        for outcome in outcomes {
            let (_, lease) = acquire(&keys, "groq").await;
            let report = json!({ "lease_id": lease, "outcome": outcome, "cost": 0.25 });
            let _ = keys.post(&format!("{PATH}/report"), &report).await.expect(200);
        }
        app.advance(DAY);
    }
    let (_, lease) = acquire(&keys, "groq").await;
    app.advance(4 * HOUR);
    let report = json!({ "lease_id": lease, "outcome": "success", "cost": 1.5 });
    let _ = keys.post(&format!("{PATH}/report"), &report).await.expect(200);

    let chart = keys.get(&format!("{path}?from=2026-05-27&to=2026-06-01")).await.expect(200);
    let day = |date: &str, requests: u64, successes: u64, errors: u64, cost: f64| json!({ "date": date, "requests": requests, "successes": successes, "errors": errors, "cost": cost });
    let days = json!([
        day("2026-05-27", 0, 0, 0, 0.0),
        day("2026-05-28", 2, 1, 1, 0.5),
        day("2026-05-29", 1, 0, 1, 0.25),
        day("2026-05-30", 1, 1, 0, 1.5),
        day("2026-05-31", 0, 0, 0, 0.0),
        day("2026-06-01", 0, 0, 0, 0.0),
    ]);
    assert_eq!(chart["days"], days);
    assert_eq!(chart["totals"], json!({ "requests": 4, "cost": 2.25 }));
    let part = keys.get(&format!("{path}?from=2026-05-29&to=2026-05-29")).await.expect(200);
    assert_eq!(part["days"], json!([days[2]]));
    let month = keys.get(&path).await.expect(200);
    assert_eq!((&month["to"], month["days"].as_array().unwrap().len()), (&json!("2026-05-31"), 30));
    for (query, field) in [
        ("from=yesterday", "from"),
        ("to=2026-02-30", "to"),
        ("from=2026-05-29&to=2026-05-28", "from"),
        ("from=2025-01-01&to=2026-05-28", "from"),
    ] {
        let told = keys.get(&format!("{path}?{query}")).await.expect(422);
        assert_eq!(told["detail"][0]["loc"], json!(["query", field]), "{query}");
    }
}

#[tokio::test]
async fn a_key_whose_secret_is_lost_keeps_no_other_ones_result_back() {
    let app = TestApp::start().await;
    let keys = app.keys();
    app.fakes.ai.openrouter.add_key(KEY);
    let (first, lost, last) = (
        create(&app, "openrouter", json!({})).await,
        create(&app, "openrouter", json!({})).await,
        create(&app, "openrouter", json!({})).await,
    );
    lose_secret(&app, lost).await;
    let synced = keys.post_empty(&format!("{PATH}/sync-billing")).await.expect(200);
    assert_eq!((&synced["synced"], &synced["failed"]), (&json!(2), &json!(1)));
    let rows = synced["results"].as_array().unwrap();
    let told: Vec<_> =
        rows.iter().map(|row| (row["integration_id"].as_u64().unwrap(), row["status"].as_str().unwrap())).collect();
    assert_eq!(told, [(first, "synced"), (lost, "failed"), (last, "synced")]);
    assert!(rows[1]["message"].is_string(), "{synced}");
}
