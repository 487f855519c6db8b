//! The JSON-RPC node: quantities, errors behind HTTP 200, keys and chains.

use fakes::evm::EvmNode;
use serde_json::{Value, json};

use crate::client::{JSON, call, get, post_json};

const ADDRESS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

async fn node() -> (EvmNode, String) {
    let node = EvmNode::start().await.unwrap();
    let url = node.add_key("k3y", 11_155_111);
    (node, url)
}

fn request(method: &str, parameters: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters })
}

#[tokio::test]
async fn a_node_answers_in_json_rpc() {
    let (node, url) = node().await;
    node.set_block(4_660);
    let cases = [
        ("eth_chainId", json!([]), "0xaa36a7"),
        ("eth_blockNumber", json!([]), "0x1234"),
        ("net_version", json!([]), "11155111"),
        ("eth_getCode", json!([ADDRESS, "latest"]), "0x"),
    ];
    for (method, parameters, result) in cases {
        for url in [url.clone(), url.replace("/v2/", "/v3/")] {
            let reply = post_json(&url, &request(method, &parameters)).await;
            let expected = json!({ "jsonrpc": "2.0", "id": 1, "result": result });
            assert_eq!((reply.status, reply.json()), (200, expected));
        }
    }
    node.set_code(ADDRESS, "0x6001");
    let reply = post_json(&url, &request("eth_getCode", &json!([ADDRESS.to_lowercase(), "latest"]))).await;
    assert_eq!(reply.json()["result"], "0x6001");
    let batch = json!([request("eth_chainId", &json!([])), request("eth_blockNumber", &json!([]))]);
    assert_eq!(post_json(&url, &batch).await.json()[1]["result"], "0x1234");
}

#[tokio::test]
async fn errors_come_with_http_200() {
    let (node, url) = node().await;
    let cases = [
        (request("eth_nothing", &json!([])), -32601),
        (request("eth_getCode", &json!(["0x12", "latest"])), -32602),
        (request("eth_getCode", &json!([ADDRESS])), -32602),
        (json!({ "method": "eth_chainId" }), -32600),
        (json!("text"), -32600),
    ];
    for (body, code) in cases {
        let reply = post_json(&url, &body).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (200, &json!(code)), "{body}");
        assert!(reply.json().get("result").is_none());
    }
    node.answer_with_error(Some((-32005, "limit exceeded")));
    let reply = post_json(&url, &request("eth_chainId", &json!([]))).await;
    let expected = json!({ "code": -32005, "message": "limit exceeded" });
    assert_eq!((reply.status, &reply.json()["error"]), (200, &expected));
    node.answer_with_error(None);
    assert_eq!(post_json(&url, &request("eth_chainId", &json!([]))).await.json()["result"], "0xaa36a7");
    let reply = call("POST", &url, &[JSON], "{").await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (400, &json!(-32700)));
}

#[tokio::test]
async fn keys_belong_to_a_chain_and_may_be_refused() {
    let (node, url) = node().await;
    let chain_id = request("eth_chainId", &json!([]));
    assert_eq!(post_json(&url.replace("k3y", "wrong"), &chain_id).await.status, 401);
    assert_eq!(post_json(&node.host.origin(), &chain_id).await.status, 401);
    node.add_key("k3y", 1);
    assert_eq!(post_json(&url, &chain_id).await.json()["result"], "0x1");
    node.throttle(1, 3);
    let reply = post_json(&url, &chain_id).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, "3"));
    assert_eq!(reply.json()["error"]["code"], 429);
    node.disable_key("k3y");
    assert_eq!(post_json(&url, &chain_id).await.status, 403);
    node.revoke_key("k3y");
    let reply = post_json(&url, &chain_id).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (401, &json!(-32600)));
    assert_eq!(get(&url).await.status, 405);
}

#[tokio::test]
async fn public_nodes_take_no_key_and_each_is_of_its_chain() {
    let (node, _) = node().await;
    node.set_code_on(137, ADDRESS, "0x6001");
    node.set_sent(137, ADDRESS, 18);
    for (chain, id, code, sent) in [(1, "0x1", "0x", "0x0"), (137, "0x89", "0x6001", "0x12")] {
        let url = node.public_url(chain);
        for (method, parameters, result) in [
            ("eth_chainId", json!([]), id),
            ("eth_getCode", json!([ADDRESS, "latest"]), code),
            ("eth_getTransactionCount", json!([ADDRESS, "latest"]), sent),
        ] {
            assert_eq!(
                post_json(&url, &request(method, &parameters)).await.json()["result"],
                result,
                "{chain} {method}"
            );
        }
    }
}

#[tokio::test]
async fn a_page_in_place_of_a_node_answers_200_too() {
    let (node, url) = node().await;
    node.answer_with_page(true);
    let reply = post_json(&url, &request("eth_chainId", &json!([]))).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "text/html"));
    assert!(serde_json::from_str::<Value>(&reply.text).is_err());
}
