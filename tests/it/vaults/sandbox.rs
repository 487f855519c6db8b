//! What the sandbox has at every platform: an account to connect and a project to sync with.

use fakes::Fakes;
use kit::TestApp;
use serde_json::{Value, json};

use super::authorize::decide;
use super::fixtures::{CONNECTIONS, SYNC, put};

/// The platforms' names, those that are connected by OAuth first.
async fn platforms(app: &TestApp) -> (Vec<String>, Vec<String>) {
    let listed = app.vaults().get("/v1/integrations").await.expect(200)["data"]["providers"].clone();
    let has_oauth = |row: &Value| row["features"].as_array().unwrap().contains(&json!("oauth"));
    let (oauth, token): (Vec<Value>, Vec<Value>) = listed.as_array().unwrap().iter().cloned().partition(has_oauth);
    let name = |row: Value| row["name"].as_str().unwrap().to_owned();
    (oauth.into_iter().map(name).collect(), token.into_iter().map(name).collect())
}

/// Pushes the vault to the account's project, which is then as the vault is.
async fn is_synced(app: &TestApp, connection: &str) {
    let projects = app.vaults().get(&format!("{CONNECTIONS}/{connection}/projects")).await;
    let (id, name) = (projects.str("/data/projects/0/id"), projects.str("/data/projects/0/name"));
    assert!(name.contains("my-app"), "{name}");
    let body = json!({ "connectionId": connection, "projectId": id });
    for (count, expected) in [("created", 1), ("skipped", 1)] {
        let run = app.vaults().post(SYNC, &body).await.expect(200)["data"].clone();
        assert_eq!((&run["status"], &run[count]), (&json!("success"), &json!(expected)), "{run}");
    }
}

#[tokio::test]
async fn every_platform_can_be_connected_with_a_token_and_pushed_to() {
    let app = TestApp::start().await;
    put(&app.vaults(), json!({ "API_KEY": "k-123456" })).await;
    let (oauth, token) = platforms(&app).await;
    assert_eq!(token, ["fly", "cloudflare", "render"]);
    for name in oauth.iter().chain(&token).filter(|name| *name != "vercel") {
        let body = json!({ "token": Fakes::platform_token(name) });
        let connected = app.vaults().post(&format!("/v1/integrations/{name}/connect"), &body).await;
        let _ = connected.expect(201);
        is_synced(&app, &connected.str("/data/id")).await;
    }
}

#[tokio::test]
async fn every_platform_with_oauth_has_a_page_of_consent() {
    let app = TestApp::start().await;
    put(&app.vaults(), json!({ "API_KEY": "k-123456" })).await;
    let (oauth, _) = platforms(&app).await;
    assert_eq!(oauth, ["vercel", "railway", "netlify", "github", "heroku", "supabase"]);
    for name in oauth {
        let vaults = app.vaults().header("accept", "application/json");
        let page = vaults.get(&format!("/v1/integrations/{name}/authorize")).await.str("/data/authorizationUrl");
        let done = app.browse(&decide(&app, &page, "allow").await).await;
        assert_eq!(done.status, 200, "{name}: {}", done.text);
        let listed = app.vaults().get(CONNECTIONS).await.expect(200)["data"]["connections"].clone();
        let row = listed.as_array().unwrap().iter().find(|row| row["provider"] == name).unwrap().clone();
        assert_eq!(row["connectedBy"], "oauth");
        is_synced(&app, row["id"].as_str().unwrap()).await;
    }
}
