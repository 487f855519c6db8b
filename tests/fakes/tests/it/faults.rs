//! The fault switch and the sockets, shown on one of the fakes.

use std::net::TcpStream;

use fakes::discord::{Discord, DiscordWebhook};
use fakes::{Answer, Fault};
use serde_json::json;

use crate::client::{JSON, call_as_is, client, get, post_json};

const TOKEN: &str = "token";

async fn discord() -> (Discord, String) {
    let discord = Discord::start().await.unwrap();
    discord.add_webhook(DiscordWebhook::new("100000000000000001", TOKEN));
    let url = format!("{}/api/webhooks/100000000000000001/{TOKEN}", discord.host.origin());
    (discord, url)
}

#[tokio::test]
async fn the_next_requests_answer_what_the_test_wrote() {
    let (discord, url) = discord().await;
    let page = Answer::status(502).header("content-type", "text/html").body("<h1>Bad gateway</h1>");
    discord.host.faults().next(2, Fault::Answer(page));
    for _ in 0..2 {
        let reply = get(&url).await;
        assert_eq!((reply.status, reply.text.as_str()), (502, "<h1>Bad gateway</h1>"));
        assert_eq!(reply.header("content-type"), "text/html");
    }
    assert_eq!(get(&url).await.status, 200);
    assert_eq!(discord.host.calls("/webhooks/"), 3);
}

#[tokio::test]
async fn a_fault_may_pick_its_path_and_may_last() {
    let (discord, url) = discord().await;
    let faults = discord.host.faults();
    faults.next_on("/elsewhere", 1, Fault::Answer(Answer::status(500)));
    assert_eq!(get(&url).await.status, 200);
    assert_eq!(get(&format!("{}/elsewhere", discord.host.origin())).await.status, 500);

    faults.all(Fault::Answer(Answer::status(503).json(&json!({ "message": "down" }))));
    for _ in 0..3 {
        let reply = get(&url).await;
        assert_eq!((reply.status, reply.json()), (503, json!({ "message": "down" })));
    }
    faults.clear();
    assert_eq!(get(&url).await.status, 200);
}

#[tokio::test]
async fn a_closed_connection_has_no_answer_and_no_effect() {
    let (discord, url) = discord().await;
    discord.host.faults().next(1, Fault::Close);
    let headers = [("user-agent", "tests"), JSON];
    let body = json!({ "content": "hello" }).to_string();
    let error = call_as_is("POST", &url, &headers, body.clone()).await.err().unwrap();
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    assert!(discord.messages().is_empty());
    assert_eq!(discord.host.requests().len(), 1);
    assert_eq!(call_as_is("POST", &url, &headers, body).await.unwrap().status, 204);
}

#[tokio::test]
async fn a_lost_answer_leaves_its_work_behind() {
    let (discord, url) = discord().await;
    discord.host.faults().next(1, Fault::LoseAnswer);
    let body = json!({ "content": "hello" }).to_string();
    let reply = call_as_is("POST", &url, &[("user-agent", "tests"), JSON], body).await;
    assert!(reply.is_err());
    assert_eq!(discord.messages().len(), 1);
}

#[tokio::test]
async fn a_hanging_request_goes_on_when_released() {
    let (discord, url) = discord().await;
    discord.host.faults().next(1, Fault::Hang);
    let pending = tokio::spawn(async move { post_json(&url, &json!({ "content": "late" })).await.status });
    discord.host.faults().hanging(1).await;
    assert!(discord.messages().is_empty() && !pending.is_finished());
    discord.host.faults().release();
    assert_eq!(pending.await.unwrap(), 204);
    assert_eq!(discord.messages().len(), 1);
}

#[tokio::test]
async fn a_hanging_request_whose_caller_gives_up_does_nothing() {
    let (discord, url) = discord().await;
    let faults = discord.host.faults();
    faults.next(1, Fault::Hang);
    let pending = tokio::spawn(async move { post_json(&url, &json!({ "content": "never" })).await.status });
    faults.hanging(1).await;
    pending.abort();
    assert!(pending.await.unwrap_err().is_cancelled());
    faults.none_hanging().await;
    faults.release();
    let elsewhere = format!("{}/api/webhooks/1/x", discord.host.origin());
    assert_eq!(get(&elsewhere).await.status, 404);
    assert!(discord.messages().is_empty());
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_port_and_every_connection() {
    let (discord, url) = discord().await;
    let (address, clone) = (discord.host.address(), discord.clone());
    drop(discord);
    assert_eq!(get(&url).await.status, 200);

    let client = client();
    assert_eq!(client.get(&url).header("user-agent", "tests").send().await.unwrap().status(), 200);
    clone.host.faults().next(1, Fault::Hang);
    let faults = clone.host.faults().clone();
    let pending = tokio::spawn(client.get(&url).send());
    faults.hanging(1).await;
    drop(clone);
    assert!(pending.await.unwrap().is_err());
    // The listener goes with its task, which the runtime drops at its next turn.
    while TcpStream::connect(address).is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn requests_are_remembered_whole() {
    let (discord, url) = discord().await;
    post_json(&format!("{url}?wait=true"), &json!({ "content": "hello" })).await;
    let requests = discord.host.requests();
    let request = requests.first().unwrap();
    assert_eq!((request.method.as_str(), request.query.as_deref()), ("POST", Some("wait=true")));
    assert!(request.path.ends_with("/token"));
    assert_eq!(request.header("user-agent"), Some("causeway-tests/1.0"));
    assert_eq!(request.json(), json!({ "content": "hello" }));
    discord.host.forget_requests();
    assert!(discord.host.requests().is_empty());
}
