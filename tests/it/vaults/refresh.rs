//! `vaults-refresh`: OAuth tokens are renewed before they end, once each.

use fakes::platforms::railway::RailwayReach;
use fakes::{Answer as Reply, Fault};
use futures::join;
use kit::TestApp;
use serde_json::{Value, json};

use super::authorize::decide;
use super::fixtures::CONNECTIONS;

/// Connects Railway by OAuth, whose tokens live for an hour; gives the connection's id.
pub(crate) async fn connect_railway(app: &TestApp) -> String {
    let railway = &app.fakes.railway;
    railway.add_workspace("ws_1", "Acme");
    railway.add_project("prj_r", "app", "ws_1");
    railway.add_environment("prj_r", "env_p", "production", false);
    railway.consent_as(RailwayReach::Grant {
        user: "user_1".into(),
        workspaces: vec!["ws_1".into()],
        projects: Vec::new(),
        writes: true,
    });
    let vaults = app.vaults().header("accept", "application/json");
    let page = vaults.get("/v1/integrations/railway/authorize").await.str("/data/authorizationUrl");
    let done = app.browse(&decide(app, &page, "allow").await).await;
    assert_eq!(done.status, 200, "{}", done.text);
    app.vaults().get(CONNECTIONS).await.str("/data/connections/0/id")
}

async fn tick(app: &TestApp) -> Value {
    app.invoke("vaults-refresh", &app.scheduled_event()).await.expect(200)
}

fn tally(renewed: usize, refused: usize, put_off: usize) -> Value {
    json!({ "renewed": renewed, "refused": refused, "putOff": put_off })
}

async fn status(app: &TestApp) -> String {
    app.vaults().get(CONNECTIONS).await.str("/data/connections/0/status")
}

/// How often the token endpoint was asked.
fn exchanges(app: &TestApp) -> usize {
    app.fakes.railway.host.calls("/oauth/token")
}

#[tokio::test]
async fn a_token_is_renewed_ten_minutes_before_it_ends_and_the_new_one_is_used() {
    let app = TestApp::start().await;
    let id = connect_railway(&app).await;
    assert_eq!(tick(&app).await, tally(0, 0, 0));
    app.advance(3_000);
    assert_eq!(tick(&app).await, tally(1, 0, 0));
    assert_eq!((tick(&app).await, exchanges(&app)), (tally(0, 0, 0), 2));
    app.fakes.railway.host.forget_requests();
    let _ = app.vaults().get(&format!("{CONNECTIONS}/{id}/projects")).await.expect(200);
    let asked = app.fakes.railway.host.requests();
    assert!(
        asked.iter().all(|request| request.header("authorization") == Some("Bearer railway-access-3")),
        "{asked:?}"
    );
    let items = app.all_items().await;
    assert!(!items.contains("railway-access") && !items.contains("railway-refresh"));
    // For as long as it lasts.
    for _ in 0..3 {
        app.advance(3_000);
        assert_eq!(tick(&app).await, tally(1, 0, 0));
    }
    assert_eq!((app.fakes.railway.grants(), status(&app).await), (1, "active".into()));
}

#[tokio::test]
async fn two_workers_use_a_refresh_token_once() {
    let app = TestApp::start().await;
    connect_railway(&app).await;
    app.advance(3_000);
    let faults = app.fakes.railway.host.faults();
    faults.next_on("/oauth/token", 1, Fault::Hang);
    let second = async {
        faults.hanging(1).await;
        let ran = tick(&app).await;
        faults.release();
        ran
    };
    assert_eq!(join!(tick(&app), second), (tally(1, 0, 0), tally(0, 0, 0)));
    assert_eq!((exchanges(&app), app.fakes.railway.grants()), (2, 1));
}

#[tokio::test]
async fn a_request_that_finds_a_token_ended_renews_it_first() {
    let app = TestApp::start().await;
    let id = connect_railway(&app).await;
    app.advance(3_601);
    let path = format!("{CONNECTIONS}/{id}/projects");
    // Two at once: one renews it, the other waits for that.
    let vaults = app.vaults();
    let (one, other) = join!(vaults.get(&path), vaults.get(&path));
    let _ = (one.expect(200), other.expect(200));
    assert_eq!((exchanges(&app), app.fakes.railway.grants()), (2, 1));
}

#[tokio::test]
async fn a_refused_grant_asks_for_the_account_to_be_connected_again() {
    let app = TestApp::start().await;
    let id = connect_railway(&app).await;
    app.advance(3_000);
    let refusal = Reply::status(400).json(&json!({ "error": "invalid_grant" }));
    app.fakes.railway.host.faults().next_on("/oauth/token", 1, Fault::Answer(refusal));
    assert_eq!(tick(&app).await, tally(0, 1, 0));
    assert_eq!(status(&app).await, "needs_reauth");
    assert_eq!((tick(&app).await, exchanges(&app)), (tally(0, 0, 0), 2), "it is not tried again");
    let refused = app.vaults().get(&format!("{CONNECTIONS}/{id}/projects")).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("onnect"), "{refused}");
    assert_eq!(connect_railway(&app).await, id);
    assert_eq!(status(&app).await, "active");
}

#[tokio::test]
async fn a_token_that_is_refused_before_its_time_is_renewed_and_the_question_asked_again() {
    let app = TestApp::start().await;
    let id = connect_railway(&app).await;
    let path = format!("{CONNECTIONS}/{id}/projects");
    app.fakes.railway.end_access_tokens();
    let vaults = app.vaults();
    let (one, other) = join!(vaults.get(&path), vaults.get(&path));
    assert_eq!(one.expect(200)["data"]["projects"][0]["name"], other.expect(200)["data"]["projects"][0]["name"]);
    assert_eq!((exchanges(&app), app.fakes.railway.grants(), status(&app).await), (2, 1, "active".into()));
    // The token endpoint is in trouble: nothing is known, so nothing is disabled.
    app.fakes.railway.end_access_tokens();
    app.fakes.railway.host.faults().next_on("/oauth/token", 1, Fault::Answer(Reply::status(503)));
    let _ = vaults.get(&path).await.expect(502);
    assert_eq!(status(&app).await, "active");
    // The grant is refused as well.
    let refusal = Reply::status(400).json(&json!({ "error": "invalid_grant" }));
    app.fakes.railway.host.faults().next_on("/oauth/token", 1, Fault::Answer(refusal));
    let _ = vaults.get(&path).await.expect(409);
    assert_eq!(status(&app).await, "needs_reauth");
}

#[tokio::test]
async fn a_platform_in_trouble_is_asked_again_later() {
    let app = TestApp::start().await;
    connect_railway(&app).await;
    app.advance(3_000);
    app.fakes.railway.host.faults().next_on("/oauth/token", 1, Fault::Answer(Reply::status(503)));
    assert_eq!(tick(&app).await, tally(0, 0, 1));
    assert_eq!(tick(&app).await, tally(0, 0, 0), "not at once");
    app.advance(60);
    assert_eq!(tick(&app).await, tally(1, 0, 0));
    assert_eq!(status(&app).await, "active");
}

#[tokio::test]
async fn a_renewed_token_is_not_lost_to_a_moment_without_secrets_manager_or_the_table() {
    for call in ["PutSecretValue", "PutItem"] {
        let app = TestApp::start().await;
        connect_railway(&app).await;
        app.advance(3_000);
        let faults = app.fakes.railway.host.faults();
        faults.next_on("/oauth/token", 1, Fault::Hang);
        let ran = async {
            faults.hanging(1).await;
            // More often than the SDK tries by itself.
            let struck = app.proxy.inject(kit::fault_proxy::Fault::ServerError).on(call).times(4);
            faults.release();
            struck
        };
        let (ran, struck) = join!(tick(&app), ran);
        assert_eq!((ran, struck.strikes()), (tally(1, 0, 0), 4), "{call}");
        assert_eq!((exchanges(&app), app.fakes.railway.grants(), status(&app).await), (2, 1, "active".into()));
        // What was stored is the new token: the next renewal works.
        app.advance(3_000);
        assert_eq!(tick(&app).await, tally(1, 0, 0));
    }
}
