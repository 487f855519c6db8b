//! Real answers are what the documents say, bad input included. The answers of calls that succeed are compared by the
//! authorisation matrix.

use kit::{Answer, Client};
use local::stack::GROUPS;
use serde_json::json;

use super::operations::World;
use super::{Described, conforms, document, operations_of};

/// A path with something in place of each parameter.
fn filled(path: &str) -> String {
    let value = |part: &str| match part {
        "{provider}" => "vercel".to_owned(),
        "{id}" => "550e8400-e29b-41d4-a716-446655440000".to_owned(),
        part if part.starts_with('{') => "none".to_owned(),
        part => part.to_owned(),
    };
    path.split('/').map(value).collect::<Vec<_>>().join("/")
}

async fn send(client: &Client, one: &Described, query: &str, body: &str) -> Answer {
    let method = http::Method::from_bytes(one.method.as_bytes()).unwrap();
    client.send(method, &format!("{}{query}", filled(&one.path)), body.to_owned()).await
}

#[tokio::test]
async fn whatever_is_sent_the_answer_is_described() {
    let world = World::made().await;
    let app = &world.app;
    for (group, client) in GROUPS.iter().zip([app.wallets(), app.services(), app.keys(), app.vaults()]) {
        let document = document(group.name);
        for one in operations_of(&document) {
            // What has a parameter is asked for what is not there.
            let plain = send(&client, &one, "", "").await;
            conforms(&document, &one.id, &plain);
            let has_body = one.value.get("requestBody").is_some();
            let json_client = client.clone().header("content-type", "application/json");
            for body in ["{", "[]", "{\"no such field\": 1}"].into_iter().filter(|_| has_body) {
                conforms(&document, &one.id, &send(&json_client, &one, "", body).await);
            }
            if has_body {
                let odd = client.clone().header("content-type", "text/nonsense");
                conforms(&document, &one.id, &send(&odd, &one, "", "{}").await);
                let large = " ".repeat(300 * 1024);
                conforms(&document, &one.id, &send(&json_client, &one, "", &large).await);
            }
            for parameter in one.value["parameters"].as_array().unwrap() {
                if parameter["in"] == "query" {
                    let query = format!("?{}=%00%20!", parameter["name"].as_str().unwrap());
                    conforms(&document, &one.id, &send(&client, &one, &query, "").await);
                }
            }
        }
    }
}

#[tokio::test]
async fn an_operation_takes_an_idempotency_key_if_the_document_says_so() {
    let world = World::made().await;
    let app = &world.app;
    let key = "k".repeat(256);
    for (group, client) in GROUPS.iter().zip([app.wallets(), app.services(), app.keys(), app.vaults()]) {
        let document = document(group.name);
        let client = client.header("idempotency-key", &key).header("content-type", "application/json");
        for one in operations_of(&document) {
            let takes_one = json!({ "$ref": "#/components/parameters/IdempotencyKey" });
            let described = one.value["parameters"].as_array().unwrap().contains(&takes_one);
            let body = one.value.pointer("/requestBody/content/application~1json/example").cloned();
            let body = body.filter(|_| group.name == "keys").unwrap_or_else(|| json!({}));
            let answer = send(&client, &one, "", &body.to_string()).await;
            assert_eq!(
                answer.text.contains("Idempotency-Key"),
                described,
                "{} of {}: {}",
                one.id,
                group.name,
                answer.text
            );
        }
    }
}
