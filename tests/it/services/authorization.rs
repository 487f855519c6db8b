//! Who may do what: every operation with every kind of token.

use jiff::SignedDuration;
use kit::{Client, TestApp};
use serde_json::json;
use shared::auth::{Minted, Permission, Tenant};

use super::fixtures::{NOBODYS, client, connect, grant, mint, stored};
use super::operations;

/// Requests whose sender is not known, by what is wrong with them.
async fn strangers(app: &TestApp) -> Vec<(&'static str, Client)> {
    let bare = app.services().without("authorization");
    let admin = &app.tenant("acme").tokens.admin;
    let with = |value: &str| bare.clone().header("authorization", value);
    let revoked = mint(app, "acme", Permission::ALL).await;
    app.platform.tokens.revoke(&Tenant::parse("acme").unwrap(), &revoked.record.id).await.unwrap();
    let past = app.platform.ids.now().saturating_sub(SignedDuration::from_secs(1)).unwrap();
    let expired = grant_until(app, past).await;
    vec![
        ("no header", bare.clone()),
        ("an empty header", with("")),
        ("a bare token", with(admin)),
        ("no token", with("Bearer")),
        ("a blank token", with("Bearer  ")),
        ("another scheme", with(&format!("Basic {admin}"))),
        ("two headers", with(&format!("Bearer {admin}")).header("authorization", &format!("Bearer {admin}"))),
        ("two tokens", with(&format!("Bearer {admin} {admin}"))),
        ("a token with more at its end", with(&format!("Bearer {admin}="))),
        ("a token in capitals", with(&format!("Bearer {}", admin.to_uppercase()))),
        ("a token's hash", with(&format!("Bearer {}", revoked.record.hash))),
        ("a header that is not ASCII", with("Bearer \u{e9}")),
        ("an unknown token", with("Bearer cwy_unknown")),
        ("a revoked token", with(&format!("Bearer {}", revoked.token.reveal()))),
        ("an expired token", with(&format!("Bearer {}", expired.token.reveal()))),
    ]
}

async fn grant_until(app: &TestApp, end: jiff::Timestamp) -> Minted {
    let mut grant = grant("acme", Permission::ALL);
    grant.expires_at = Some(end);
    app.platform.tokens.mint(grant).await.unwrap()
}

#[tokio::test]
async fn a_stranger_gets_401_from_every_operation_and_nothing_is_done() {
    let app = TestApp::start().await;
    let id = connect(&app.services(), &operations::at_which_all_succeed(&app)).await;
    let strangers = strangers(&app).await;
    let before = stored(&app).await;
    for (what, stranger) in strangers {
        for operation in operations::all(&app) {
            let stranger = stranger.clone().header("x-request-id", "r");
            let answer = operation.ask(&stranger, &id).await;
            let case = format!("{} with {what}", operation.name);
            assert_eq!(answer.expect(401)["error"], "unauthorized", "{case}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{case}");
            for (id, body) in [(NOBODYS, "{}"), ("x", "not JSON"), (&id, "[]")] {
                assert_eq!(operation.ask_with(&stranger, id, body).await.text, answer.text, "{case}");
            }
            for key in ["k", ""] {
                let keyed = operation.ask(&stranger.clone().header("idempotency-key", key), &id).await;
                assert_eq!((keyed.status, &keyed.text), (answer.status, &answer.text), "{case}");
            }
        }
    }
    assert_eq!(stored(&app).await, before);
    assert_eq!(app.fakes.resend.host.requests().len(), 0);
}

#[tokio::test]
async fn a_stranger_costs_at_most_one_look_up() {
    let app = TestApp::start().await;
    for (what, stranger) in strangers(&app).await {
        app.proxy.forget_calls();
        let _ = stranger.post("/api/integrations", &operations::at_which_all_succeed(&app)).await.expect(401);
        let calls = app.proxy.operations();
        assert!(calls.is_empty() || calls == ["GetItem"], "{what}: {calls:?}");
    }
}

#[tokio::test]
async fn a_token_may_do_exactly_what_its_permissions_say() {
    let app = TestApp::start().await;
    let admin = app.services();
    let tokens = &app.tenant("acme").tokens;
    for operation in operations::all(&app) {
        let needed = operation.permission;
        let others: Vec<_> = Permission::ALL.iter().copied().filter(|permission| *permission != needed).collect();
        for (what, services, may) in [
            ("no permission", app.services_as(&tokens.no_permissions), false),
            ("every permission but the right one", client(&app, "acme", &others).await, false),
            ("read only", app.services_as(&tokens.read_only), needed == Permission::ServicesRead),
            ("all permissions", app.services_as(&tokens.admin), true),
            ("the right permission alone", client(&app, "acme", &[needed]).await, true),
        ] {
            let case = format!("{} with {what}", operation.name);
            let id = connect(&admin, &operations::at_which_all_succeed(&app)).await;
            let before = stored(&app).await;
            let services = services.header("x-request-id", "r");
            let answer = operation.ask(&services, &id).await;
            if may {
                assert!(answer.status.is_success(), "{case}: {}", answer.text);
                continue;
            }
            let body = answer.expect(403);
            assert_eq!(
                (&body["error"], &body["required_scope"]),
                (&json!("insufficient_scope"), &json!(needed.name()))
            );
            for (id, body) in [(NOBODYS, "{}"), ("x", "not JSON"), (&id, "[]")] {
                assert_eq!(operation.ask_with(&services, id, body).await.text, answer.text, "{case}");
            }
            for key in ["k", ""] {
                let keyed = operation.ask(&services.clone().header("idempotency-key", key), &id).await;
                assert_eq!((keyed.status, &keyed.text), (answer.status, &answer.text), "{case}");
            }
            assert_eq!(stored(&app).await, before, "{case}");
        }
    }
}

#[tokio::test]
async fn the_schemes_name_may_be_written_in_any_case() {
    let app = TestApp::start().await;
    let admin = &app.tenant("acme").tokens.admin;
    for scheme in ["bearer", "BEARER", "Bearer "] {
        let services = app.services().without("authorization").header("authorization", &format!("{scheme} {admin}"));
        let _ = services.get("/api/integrations").await.expect(200);
    }
}

#[tokio::test]
async fn a_revoked_token_has_stopped_working_after_60_seconds_however_often_it_was_used() {
    let app = TestApp::start().await;
    let minted = mint(&app, "acme", &[Permission::ServicesRead]).await;
    let services = app.services_as(minted.token.reveal());
    let _ = services.get("/api/integrations").await.expect(200);
    app.platform.tokens.revoke(&Tenant::parse("acme").unwrap(), &minted.record.id).await.unwrap();
    for _ in 0..59 {
        app.advance(1);
        let _ = services.get("/api/integrations").await;
    }
    app.advance(1);
    for _ in 0..2 {
        assert_eq!(services.get("/api/integrations").await.expect(401)["error"], "unauthorized");
    }
    let _ = app.services().get("/api/integrations").await.expect(200);
}

#[tokio::test]
async fn a_token_that_was_never_used_is_revoked_at_once() {
    let app = TestApp::start().await;
    let minted = mint(&app, "acme", &[Permission::ServicesRead]).await;
    app.platform.tokens.revoke(&Tenant::parse("acme").unwrap(), &minted.record.id).await.unwrap();
    let _ = app.services_as(minted.token.reveal()).get("/api/integrations").await.expect(401);
}

#[tokio::test]
async fn a_token_works_until_the_moment_it_expires() {
    let app = TestApp::start().await;
    let end = app.platform.ids.now().saturating_add(SignedDuration::from_secs(30)).unwrap();
    let services = app.services_as(grant_until(&app, end).await.token.reveal());
    let _ = services.get("/api/integrations").await.expect(200);
    app.advance(29);
    let _ = services.get("/api/integrations").await.expect(200);
    app.advance(1);
    let _ = services.get("/api/integrations").await.expect(401);
    app.advance(3600);
    let _ = services.get("/api/integrations").await.expect(401);
}
