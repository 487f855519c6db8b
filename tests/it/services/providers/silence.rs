//! Providers that are not there, and providers that take a request and never answer: one wait of 8 s for all of them.

use std::time::Duration;

use fakes::{Fault, Host};
use futures::future::join_all;
use kit::TestApp;
use serde_json::{Value, json};

use super::super::fixtures::{CHANNELS, config, create, received, send};
use super::{deliver, is_refused, judge};

/// What a provider is given to answer in all.
const PATIENCE: Duration = Duration::from_secs(8);

fn hosts(app: &TestApp) -> Vec<Host> {
    let fakes = &app.fakes;
    vec![
        fakes.ai_gateway.host.clone(),
        fakes.discord.host.clone(),
        fakes.evm.host.clone(),
        fakes.openai_compatible.host.clone(),
        fakes.resend.host.clone(),
        fakes.sendgrid.host.clone(),
        fakes.slack.api.clone(),
        fakes.slack.hooks.clone(),
        fakes.telegram.host.clone(),
        fakes.webhook.host.clone(),
    ]
}

/// A config of each way to reach a provider: those that take messages first, and how many they are.
fn configs(app: &TestApp) -> (Vec<(&'static str, Value)>, usize) {
    let demo = &app.demo;
    let mut configs: Vec<(&str, Value)> = CHANNELS.iter().map(|&kind| (kind, config(app, kind))).collect();
    configs.push(("slack", json!({ "apiKey": demo.slack_bot_token, "channel": demo.slack_channel })));
    let channels = configs.len();
    configs.extend(["web3", "ai-gateway"].map(|kind| (kind, config(app, kind))));
    let other = json!({ "apiKey": demo.openai_compatible_api_key, "baseUrl": demo.openai_compatible_base_url });
    configs.push(("ai-gateway", other));
    (configs, channels)
}

/// A message that this type can deliver.
fn message(kind: &str) -> Value {
    match kind {
        "sendgrid" | "resend" => json!({ "text": "hello", "to": "ada@example.org" }),
        _ => json!({ "text": "hello" }),
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_not_blamed_and_no_message_is_in_doubt() {
    let app = TestApp::start().await;
    let (configs, channels) = configs(&app);
    let mut ports = Vec::new();
    for host in hosts(&app) {
        ports.push(host.close().await.unwrap());
    }
    for (kind, config) in &configs {
        judge(&app, kind, config).await.is_inconclusive("");
    }
    for (kind, config) in configs.iter().take(channels) {
        is_refused(&deliver(&app, kind, config, &message(kind)).await, "could not be reached", "Nothing was sent");
    }
}

#[tokio::test]
async fn a_provider_that_never_answers_is_given_up_in_time_and_nothing_is_sent() {
    let app = TestApp::start().await;
    let (configs, channels) = configs(&app);
    let mut integrations = Vec::new();
    for (kind, config) in configs.iter().take(channels) {
        integrations.push((*kind, create(&app, kind, config).await));
    }
    hosts(&app).iter().for_each(|host| host.faults().all(Fault::Hang));

    let tests = configs.iter().map(async |(kind, config)| {
        let body = json!({ "type": kind, "config": config });
        (kind, app.services().post("/api/integrations/test", &body).await.expect(200))
    });
    let sends = integrations.iter().map(async |(kind, id)| (kind, send(&app, id, &message(kind)).await.expect(504)));
    let (tests, sends) = futures::join!(join_all(tests), join_all(sends));

    for (kind, report) in tests {
        assert_eq!((&report["status"], &report["verdict"]), (&json!("error"), &json!("inconclusive")), "{kind}");
        let message = report["message"].as_str().unwrap();
        assert!(message.contains("The credential was not judged"), "{kind}: {message}");
        let latency = Duration::from_millis(report["latencyMs"].as_u64().unwrap());
        assert!((PATIENCE..PATIENCE * 2).contains(&latency), "{kind}: {latency:?}");
    }
    for (kind, body) in sends {
        assert_eq!(body["error"], "provider_timeout", "{kind}");
        assert!(body["detail"].as_str().unwrap().contains("may or may not have been delivered"), "{kind}: {body}");
    }
    for host in hosts(&app) {
        host.faults().none_hanging().await;
    }
    assert_eq!(received(&app), 0, "who has hung up sends nothing");
}
