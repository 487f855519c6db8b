//! Which answers of an AI gateway prove something about a key.

use fakes::ai_gateway::{AiGateway, Catalogue, OpenAiCompatible};
use serde_json::json;

use crate::client::{call, get};

#[tokio::test]
async fn credits_are_texts_and_want_a_key() {
    let gateway = AiGateway::start().await.unwrap();
    gateway.add_key("vck_1", "95.50", "4.50");
    let url = format!("{}/v1/credits", gateway.host.origin());
    let key = [("authorization", "Bearer vck_1")];
    let reply = call("GET", &url, &key, "").await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "balance": "95.50", "total_used": "4.50" })));

    let refused = [get(&url).await, call("GET", &url, &[("authorization", "Bearer vck_2")], "").await];
    for reply in refused {
        assert_eq!((reply.status, &reply.json()["error"]["type"]), (401, &json!("authentication_error")));
    }
    gateway.throttle(1, 9);
    let reply = call("GET", &url, &key, "").await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, "9"));
    assert_eq!(reply.json()["error"]["type"], "rate_limit_exceeded");
    gateway.block_key("vck_1");
    let reply = call("GET", &url, &key, "").await;
    assert_eq!((reply.status, &reply.json()["error"]["type"]), (403, &json!("forbidden")));
    gateway.revoke_key("vck_1");
    assert_eq!(call("GET", &url, &key, "").await.status, 401);
}

#[tokio::test]
async fn vercels_models_are_open_to_everybody() {
    let gateway = AiGateway::start().await.unwrap();
    let url = format!("{}/v1/models", gateway.host.origin());
    for headers in [vec![], vec![("authorization", "Bearer junk")]] {
        let reply = call("GET", &url, &headers, "").await;
        assert_eq!((reply.status, &reply.json()["object"]), (200, &json!("list")));
    }
    assert_eq!(get(&format!("{}/v1/nothing", gateway.host.origin())).await.json()["error"]["type"], "not_found");
}

#[tokio::test]
async fn another_gateway_checks_keys_or_does_not() {
    let gateway = OpenAiCompatible::start().await.unwrap();
    gateway.add_key("sk-good");
    let url = format!("{}/models", gateway.base_url());
    let good = [("authorization", "Bearer sk-good")];
    let junk = [("authorization", "Bearer sk-junk-0123456789abcdef")];
    assert_eq!(call("GET", &url, &good, "").await.status, 200);
    let reply = call("GET", &url, &junk, "").await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (401, &json!("invalid_api_key")));
    let message = "Incorrect API key provided: sk-junk-************cdef.";
    assert_eq!(reply.json()["error"]["message"], message);
    assert_eq!(get(&url).await.status, 401);

    gateway.set_catalogue(Catalogue::Public);
    for headers in [good.as_slice(), &junk, &[]] {
        assert_eq!(call("GET", &url, headers, "").await.status, 200);
    }
    gateway.set_catalogue(Catalogue::ChecksKeys);
    gateway.throttle(1, 1);
    assert_eq!(call("GET", &url, &good, "").await.status, 429);
    gateway.revoke_key("sk-good");
    assert_eq!(call("GET", &url, &good, "").await.status, 401);
    assert_eq!(get(&format!("{}/v2/models", gateway.host.origin())).await.status, 404);
}
