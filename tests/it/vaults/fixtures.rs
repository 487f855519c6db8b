//! What many tests begin with.

use fakes::platforms::vercel::VercelRecord;
use kit::{Client, TestApp};
use serde_json::{Value, json};

/// The vault that most tests work with.
pub(crate) const SYNC: &str = "/v1/integrations/vaults/acme/app/sync";
pub(crate) const ENVIRONMENT: &str = "/v1/vaults/acme/app/environments/production";
pub(crate) const SECRETS: &str = "/v1/vaults/acme/app/environments/production/secrets";
pub(crate) const CONNECTIONS: &str = "/v1/integrations/connections";

/// The form of an id, and nobody's.
pub(crate) const NOBODYS: &str = "550e8400-e29b-41d4-a716-446655440000";

/// Connects Vercel with the demo's token; gives the connection's id.
pub(crate) async fn connect(app: &TestApp) -> String {
    let body = json!({ "token": app.demo.vercel_token });
    let connected = app.vaults().post("/v1/integrations/vercel/connect", &body).await;
    let _ = connected.expect(201);
    connected.str("/data/id")
}

/// Writes the production environment of the vault.
pub(crate) async fn put(vaults: &Client, secrets: Value) {
    let _ = vaults.put(SECRETS, &secrets).await.expect(200);
}

/// The values of the production environment of the vault.
pub(crate) async fn values(vaults: &Client) -> Value {
    vaults.get(SECRETS).await.expect(200)["data"]["secrets"].clone()
}

/// A stack with Vercel connected, the demo's project empty, and these values in the vault; with the connection's id.
pub(crate) async fn ready(secrets: Value) -> (TestApp, String) {
    let app = TestApp::start().await;
    app.fakes.vercel.add_project("prj_1", "another", "team_sandbox");
    app.fakes.vercel.add_token(&app.demo.vercel_token, reach());
    let body = json!({ "token": app.demo.vercel_token, "account": "team_sandbox" });
    let id = app.vaults().post("/v1/integrations/vercel/connect", &body).await.str("/data/id");
    put(&app.vaults(), secrets).await;
    (app, id)
}

/// What a token of the whole team reaches.
pub(crate) fn reach() -> fakes::platforms::vercel::VercelToken {
    fakes::platforms::vercel::VercelToken {
        user: "user_sandbox".into(),
        teams: vec!["team_sandbox".into()],
        ..Default::default()
    }
}

/// A sync's body, with these fields over the usual ones.
pub(crate) fn asks(connection: &str, fields: Value) -> Value {
    let mut body = json!({ "connectionId": connection, "projectId": "prj_1" });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

/// Runs a sync; what it came to.
pub(crate) async fn sync(app: &TestApp, connection: &str, fields: Value) -> Value {
    app.vaults().post(SYNC, &asks(connection, fields)).await.expect(200)["data"].clone()
}

/// What a sync would do.
pub(crate) async fn preview(app: &TestApp, connection: &str, query: &str) -> Value {
    let path = format!("{SYNC}/preview?connectionId={connection}&projectId=prj_1{query}");
    app.vaults().get(&path).await.expect(200)["data"].clone()
}

/// Puts a variable into the project, as somebody else would; gives its id.
pub(crate) fn set_at_vercel(app: &TestApp, name: &str, value: &str) -> String {
    app.fakes.vercel.add_record("prj_1", VercelRecord::of(name, value, &["production"]))
}

/// What production deployments of the project get.
pub(crate) fn at_vercel(app: &TestApp) -> Value {
    app.fakes.vercel.values("prj_1", "production").into_iter().map(|(name, value)| (name, json!(value))).collect()
}

/// A plan with these names.
pub(crate) fn plan(create: &[&str], update: &[&str], delete: &[&str], skip: &[&str]) -> Value {
    json!({ "toCreate": create, "toUpdate": update, "toDelete": delete, "toSkip": skip })
}

/// The counts of a run.
pub(crate) fn counts(run: &Value) -> [u64; 4] {
    ["created", "updated", "deleted", "skipped"].map(|name| run[name].as_u64().unwrap())
}
