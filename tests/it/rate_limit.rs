//! How many requests a token may send in a minute, whatever the group.

use http::Method;
use kit::fault_proxy::{Call, Fault};
use kit::{Answer, Client, Process, TestApp};
use serde_json::json;
use shared::config::Policy;

/// A process that lets each token send so many requests a minute.
async fn limited(app: &TestApp, rate_limit: u32) -> Process {
    let process = app.another(Policy { rate_limit, ..Policy::default() }).await;
    app.proxy.forget_calls();
    process
}

/// Limit, remaining and reset, as an answer tells them.
fn standing(answer: &Answer) -> Option<(u32, u32, i64)> {
    let header = |name: &str| answer.header(name);
    let (limit, remaining) = (header("x-ratelimit-limit")?, header("x-ratelimit-remaining")?);
    let reset = header("x-ratelimit-reset")?;
    Some((limit.parse().unwrap(), remaining.parse().unwrap(), reset.parse().unwrap()))
}

/// The counter's calls among those that were made.
fn counted(app: &TestApp) -> Vec<Call> {
    let calls = app.proxy.calls().into_iter();
    calls.filter(|call| call.operation == "UpdateItem" && call.request.to_string().contains("#rate#")).collect()
}

async fn list(services: &Client) -> Answer {
    services.get("/api/integrations").await
}

/// How many requests get through before the first 429, and that one.
async fn let_through(services: &Client) -> (u32, Answer) {
    for through in 0..10_000 {
        let answer = list(services).await;
        if answer.status == 429 {
            return (through, answer);
        }
        let _ = answer.expect(200);
    }
    panic!("there is no limit");
}

#[tokio::test]
async fn headers_count_down_to_a_refusal_and_the_next_minute_begins_anew() {
    let app = TestApp::start().await;
    let process = limited(&app, 50).await;
    let services = process.client(&app, &app.services());
    // The clock stands forty seconds into a minute.
    let reset = app.platform.ids.now().as_second() + 20;
    for number in 1..=50 {
        let answer = list(&services).await;
        let _ = answer.expect(200);
        assert_eq!(standing(&answer), Some((50, 50 - number, reset)));
        assert_eq!(answer.header("retry-after"), None);
    }
    for _ in 0..3 {
        let refused = list(&services).await;
        assert_eq!(refused.expect(429)["error"], "rate_limited");
        assert_eq!(standing(&refused), Some((50, 0, reset)));
        assert_eq!(refused.header("retry-after"), Some("20"));
    }
    app.advance(19);
    assert_eq!(list(&services).await.header("retry-after"), Some("1"));
    app.advance(1);
    let answer = list(&services).await;
    assert_eq!(standing(&answer), Some((50, 49, reset + 60)));
}

#[tokio::test]
async fn each_group_refuses_in_its_own_envelope() {
    let app = TestApp::start().await;
    for (group, path, pointer, told) in [
        ("wallets", "/v1/integrations", "/error", "rate_limit_exceeded"),
        ("services", "/api/integrations", "/error", "rate_limited"),
        ("keys", "/api/v1/integrations", "/error", "Too many requests"),
        ("vaults", "/v1/vaults", "/type", "urn:causeway:problem:rate-limited"),
    ] {
        let process = limited(&app, 1).await;
        let client = match group {
            "wallets" => app.wallets(),
            "services" => app.services(),
            "keys" => app.keys(),
            _ => app.vaults(),
        };
        let client = process.client(&app, &client);
        let _ = client.get(path).await.expect(200);
        let refused = client.get(path).await;
        let body = refused.expect(429);
        assert_eq!(body.pointer(pointer).unwrap(), told, "{body}");
        assert_eq!(standing(&refused).map(|(limit, remaining, _)| (limit, remaining)), Some((1, 0)));
        assert_eq!(refused.header("retry-after"), Some("20"));
        // A token is one in all groups; its next minute.
        app.advance(60);
    }
}

#[tokio::test]
async fn a_token_is_limited_over_all_operations_and_groups_and_no_other_token_with_it() {
    let app = TestApp::start().await;
    let process = limited(&app, 4).await;
    let as_acme = process.client(&app, &app.services());
    let _ = list(&as_acme).await.expect(200);
    let _ = as_acme.get("/api/integrations/int_000000000000000000000").await.expect(404);
    let _ = as_acme.post("/api/integrations", &json!({})).await.expect(400);
    let _ = process.client(&app, &app.keys()).get("/api/v1/integrations").await.expect(200);
    let _ = list(&as_acme).await.expect(429);
    let _ = process.client(&app, &app.wallets()).get("/v1/integrations").await.expect(429);
    let others = [&app.tenant("acme").tokens.read_only, &app.tenant("globex").tokens.admin];
    for token in others {
        assert_eq!(let_through(&process.client(&app, &app.services_as(token))).await.0, 4);
    }
    // Who lacks the permission is counted too.
    let nobody = process.client(&app, &app.services_as(&app.tenant("acme").tokens.no_permissions));
    for _ in 0..4 {
        let answer = list(&nobody).await;
        let _ = answer.expect(403);
        assert!(standing(&answer).is_some());
    }
    let _ = list(&nobody).await.expect(429);
}

#[tokio::test]
async fn who_is_not_known_is_not_counted() {
    let app = TestApp::start().await;
    let process = limited(&app, 1).await;
    let stranger = process.client(&app, &app.services_as("cwy_unknown"));
    for _ in 0..5 {
        let answer = list(&stranger).await;
        let _ = answer.expect(401);
        assert_eq!(standing(&answer), None);
    }
    let public = process.client(&app, &app.vaults());
    for _ in 0..3 {
        let answer = public.get("/v1/integrations").await;
        let _ = answer.expect(200);
        assert_eq!(standing(&answer), None);
    }
    assert_eq!(counted(&app).len(), 0);
}

#[tokio::test]
async fn nothing_is_done_for_a_request_that_is_refused() {
    let app = TestApp::start().await;
    let process = limited(&app, 1).await;
    let services = process.client(&app, &app.services()).header("idempotency-key", "one");
    let _ = list(&services).await.expect(200);
    let body = json!({ "name": "one", "type": "slack", "config": { "webhookUrl": app.demo.slack_webhook_url } });
    let _ = services.post("/api/integrations", &body).await.expect(429);
    app.proxy.forget_calls();
    let _ = services.post("/api/integrations", &body).await.expect(429);
    assert_eq!((app.proxy.calls().len(), app.proxy.calls_aside().len()), (0, 0));
    assert_eq!(app.secret_names().await.len(), 0);
    // The key is free for another try.
    app.advance(60);
    let _ = services.post("/api/integrations", &body).await.expect(201);
}

#[tokio::test]
async fn light_use_costs_nothing_and_heavy_use_a_write_for_each_twentieth() {
    let app = TestApp::start().await;
    let process = limited(&app, 100).await;
    let services = process.client(&app, &app.services());
    let mut calls = Vec::new();
    for _ in 0..100 {
        let _ = list(&services).await.expect(200);
        calls.push(counted(&app).len());
    }
    assert_eq!(calls[..5], [0; 5], "a twentieth is free");
    // The sixth takes what was free with the next block.
    assert_eq!((calls[5], calls[9], calls[10], calls[99]), (1, 1, 2, 19));
    assert!(counted(&app).iter().all(|call| call.consumed() <= 1.0));
    let (through, _) = let_through(&services).await;
    assert_eq!((through, counted(&app).len()), (0, 19), "a refusal costs nothing");
    // The token's look-up, and one Query each.
    let mut others = app.proxy.operations();
    others.retain(|operation| operation != "UpdateItem");
    assert_eq!((others.iter().filter(|one| *one == "Query").count(), others.len()), (100, 101));
    // A counter does not stay.
    let items = app.table.scan().table_name("causeway").send().await.unwrap();
    let counter = items.items().iter().find(|item| item["pk"].as_s().unwrap().contains("#rate#")).unwrap();
    let expires_at: i64 = counter["expires_at"].as_n().unwrap().parse().unwrap();
    assert_eq!(expires_at, app.platform.ids.now().as_second() + 20 + 600);
}

#[tokio::test]
async fn processes_share_a_limit_and_pass_it_by_less_than_a_twentieth_for_each_but_one() {
    let app = TestApp::start().await;
    let (one, other) = (limited(&app, 100).await, limited(&app, 100).await);
    let (one, other) = (one.client(&app, &app.services()), other.client(&app, &app.services()));
    // In turns: each finds what the other took.
    let mut through = 0;
    let mut open = [true; 2];
    while open.contains(&true) {
        for (client, open) in [&one, &other].into_iter().zip(&mut open) {
            *open = *open && list(client).await.status == 200;
            through += u32::from(*open);
        }
    }
    assert_eq!(through, 100);
    // One after the other: what the second let through before it asked is on top.
    app.advance(60);
    assert_eq!(let_through(&one).await.0, 100);
    assert_eq!(let_through(&other).await.0, 5);
}

#[tokio::test]
async fn a_counter_that_does_not_answer_lets_requests_through() {
    let app = TestApp::start().await;
    for fault in [Fault::ServerError, Fault::Refuse, Fault::Throttle, Fault::LoseAnswer] {
        app.advance(60);
        let process = limited(&app, 20).await;
        let services = process.client(&app, &app.services());
        app.proxy.inject(fault.clone()).on("UpdateItem").always();
        for _ in 0..60 {
            let answer = list(&services).await;
            let _ = answer.expect(200);
            assert!(standing(&answer).is_some(), "{fault:?}");
        }
        assert!(counted(&app).iter().all(|call| call.attempt == 1), "nothing is counted twice");
        app.proxy.clear();
        // Once it answers again it learns of what was let through.
        assert!(let_through(&services).await.0 <= 1, "{fault:?}");
    }
    assert!(kit::logs::all().contains("requests are let through without being counted"));
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_the_limit_come_earlier() {
    let app = TestApp::start().await;
    let process = limited(&app, 100).await;
    let services = process.client(&app, &app.services());
    app.proxy.inject(Fault::LoseAnswer).on("UpdateItem");
    let (through, _) = let_through(&services).await;
    assert!((90..=100).contains(&through), "{through}");
}

#[tokio::test]
async fn requests_at_once_are_counted_each() {
    let app = TestApp::start().await;
    let process = limited(&app, 40).await;
    let services = process.client(&app, &app.services());
    let answers = futures::future::join_all((0..80).map(|_| list(&services))).await;
    let mut remaining: Vec<u32> = answers.iter().filter_map(standing).map(|(_, remaining, _)| remaining).collect();
    remaining.sort_unstable();
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 40);
    assert_eq!(
        remaining.split_off(41),
        (1..40).collect::<Vec<_>>(),
        "each number once, and 0 for the last and the rest"
    );
}

#[tokio::test]
async fn nought_is_no_limit() {
    let app = TestApp::start().await;
    let process = limited(&app, 0).await;
    let services = process.client(&app, &app.services());
    for _ in 0..100 {
        let answer = services.send(Method::GET, "/api/integrations", "").await;
        let _ = answer.expect(200);
        assert_eq!(standing(&answer), None);
    }
    assert_eq!(counted(&app).len(), 0);
}
