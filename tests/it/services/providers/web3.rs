//! Type `web3`: an address, seen through a node.

use kit::TestApp;
use serde_json::json;

use super::super::fixtures::{config, create, read, with};
use super::judge;

#[tokio::test]
async fn a_node_of_another_chain_is_invalid_and_both_chains_are_told() {
    let app = TestApp::start().await;
    let other = with(config(&app, "web3"), json!({ "chainId": 137 }));
    let judged = judge(&app, "web3", &other).await;
    judged.is("invalid", "serves chain 11155111, not chain 137");
    judged.is("invalid", "set chainId to 11155111");
}

#[tokio::test]
async fn a_key_that_the_node_does_not_know_is_invalid() {
    let app = TestApp::start().await;
    let origin = app.fakes.evm.host.origin();
    for path in ["/v2/another-key-altogether", "/v3/another-key-altogether", "/without-a-key"] {
        let wrong = with(config(&app, "web3"), json!({ "rpcUrl": format!("{origin}{path}") }));
        judge(&app, "web3", &wrong).await.is("invalid", "Copy the URL again");
    }
    app.fakes.evm.answer_with_error(Some((4100, "unauthorized")));
    judge(&app, "web3", &config(&app, "web3")).await.is("invalid", "Copy the URL again");
}

#[tokio::test]
async fn a_key_that_is_switched_off_is_limited() {
    let app = TestApp::start().await;
    app.fakes.evm.disable_key("sandbox-not-a-real-key");
    judge(&app, "web3", &config(&app, "web3")).await.is("limited", "switched off or unpaid");
}

#[tokio::test]
async fn throttling_is_not_held_against_the_node_whatever_its_status() {
    let app = TestApp::start().await;
    app.fakes.evm.throttle(1, 1);
    judge(&app, "web3", &config(&app, "web3")).await.is_inconclusive("too often");
    for code in [-32005, 429] {
        app.fakes.evm.answer_with_error(Some((code, "slow down")));
        judge(&app, "web3", &config(&app, "web3")).await.is_inconclusive("too often");
    }
}

#[tokio::test]
async fn errors_that_come_with_status_200_are_errors() {
    let app = TestApp::start().await;
    for (code, told) in [(-32000, "error -32000"), (-32603, "error -32603"), (-32601, "does not know eth_chainId")] {
        app.fakes.evm.answer_with_error(Some((code, "in words that repeat sandbox-not-a-real-key")));
        judge(&app, "web3", &config(&app, "web3")).await.is_inconclusive(told);
    }
}

#[tokio::test]
async fn trouble_is_not_held_against_the_node() {
    let app = TestApp::start().await;
    app.fakes.evm.answer_with_page(true);
    judge(&app, "web3", &config(&app, "web3")).await.is_inconclusive("does not speak JSON-RPC");
    app.fakes.evm.answer_with_page(false);
    let faults = app.fakes.evm.host.faults();
    faults.next(1, super::says(200, &json!({ "hello": "world" })));
    judge(&app, "web3", &config(&app, "web3")).await.is_inconclusive("does not speak JSON-RPC");
    faults.next(1, super::says(200, &json!({ "jsonrpc": "2.0", "id": 1, "result": "0x01" })));
    judge(&app, "web3", &config(&app, "web3")).await.is_inconclusive("no chain id");
    for (fault, told) in [(super::page(403), "HTTP 403"), (super::page(502), "HTTP 502"), (fakes::Fault::Close, "cut")]
    {
        faults.all(fault);
        judge(&app, "web3", &config(&app, "web3")).await.is_inconclusive(told);
        faults.clear();
    }
}

#[tokio::test]
async fn an_address_whose_capitals_are_not_its_checksum_is_refused_with_the_right_form() {
    let app = TestApp::start().await;
    let right = app.demo.evm_address.clone();
    let wrong = right.replacen('A', "a", 1);
    let body =
        json!({ "name": "mine", "type": "web3", "config": with(config(&app, "web3"), json!({ "address": wrong })) });
    let answer = app.services().post("/api/integrations", &body).await.expect(400);
    let message = answer["fields"]["config.address"].as_str().unwrap();
    assert!(message.contains(&right), "{message}");
    for form in [right.clone(), right.to_lowercase(), format!("0x{}", right[2..].to_uppercase())] {
        judge(&app, "web3", &with(config(&app, "web3"), json!({ "address": form }))).await.is_valid();
    }
    for form in ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "vitalik.eth"]
    {
        let config = with(config(&app, "web3"), json!({ "address": form }));
        let body = json!({ "type": "web3", "config": config });
        let answer = app.services().post("/api/integrations/test", &body).await.expect(400);
        assert!(answer["fields"]["config.address"].as_str().unwrap().contains("40 hexadecimal digits"), "{answer}");
    }
}

#[tokio::test]
async fn a_chain_is_a_number_also_when_it_is_sent_as_text() {
    let app = TestApp::start().await;
    let text = with(config(&app, "web3"), json!({ "chainId": app.demo.evm_chain_id.to_string() }));
    judge(&app, "web3", &text).await.is_valid();
    let id = create(&app, "web3", &text).await;
    assert_eq!(read(&app, &id).await["config"]["chainId"], app.demo.evm_chain_id);
    for wrong in [json!(0), json!(-1), json!(1.5), json!("0x1"), json!(""), json!("one")] {
        let body = json!({ "type": "web3", "config": with(config(&app, "web3"), json!({ "chainId": wrong })) });
        let answer = app.services().post("/api/integrations/test", &body).await.expect(400);
        assert!(answer["fields"]["config.chainId"].as_str().unwrap().contains("a whole number from 1"), "{answer}");
    }
}

#[tokio::test]
async fn a_test_costs_one_call_and_says_nothing_of_the_address() {
    let app = TestApp::start().await;
    judge(&app, "web3", &config(&app, "web3")).await.is_valid();
    let [call] = app.fakes.evm.host.requests().try_into().unwrap();
    assert_eq!(call.json()["method"], "eth_chainId");
    assert!(!String::from_utf8_lossy(&call.body).contains("5aAeb"));
}
