//! `/keys/api`.

mod acquire;
mod billing;
mod faults;
mod health;
mod jobs;
mod list_integrations;
mod manage;
mod scale;

use kit::{Client, TestApp};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/integrations";

/// A body that creates a key at the fake of a compatible provider, which knows it from then on.
fn body(app: &TestApp, provider: &str, api_key: &str, more: &Value) -> Value {
    app.fakes.openai_compatible.add_key(api_key);
    let mut body = json!({
        "provider_name": provider,
        "base_url": app.fakes.openai_compatible.base_url(),
        "credentials": { "api_key": api_key },
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Creates a key and gives its id.
async fn create(app: &TestApp, provider: &str, api_key: &str, more: Value) -> u64 {
    let created = app.keys().post(PATH, &body(app, provider, api_key, &more)).await.expect(201);
    created["integration"]["id"].as_u64().unwrap()
}

async fn get(client: &Client, id: u64) -> Value {
    client.get(&format!("{PATH}/{id}")).await.expect(200)["integration"].clone()
}

/// Acquires a key: the id and the lease.
async fn acquire(client: &Client, provider: &str) -> (u64, String) {
    let acquired = client.post(&format!("{PATH}/acquire"), &json!({ "provider_name": provider })).await.expect(200);
    (acquired["integration"]["id"].as_u64().unwrap(), acquired["lease_id"].as_str().unwrap().to_owned())
}

async fn report(client: &Client, lease: &str, outcome: &str) -> Value {
    let body = json!({ "lease_id": lease, "outcome": outcome });
    client.post(&format!("{PATH}/report"), &body).await.expect(200)
}
