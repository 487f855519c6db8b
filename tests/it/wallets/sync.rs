//! `wallets-sync`: histories are brought in, each record once, whatever happens in between.

use std::time::Duration;

use fakes::Fault;
use kit::TestApp;
use serde_json::json;

use super::fixtures::{
    ADDRESS, ANOTHER_ADDRESS, ZPUB, connect, connect_address, exact_total, queued, read, stored, tick, transactions,
};

#[tokio::test]
async fn what_is_connected_is_synced_by_the_streams_event() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    app.fakes.esplora.receive_many(ADDRESS, 130);
    let id = connect_address(&wallets, ADDRESS).await;
    let [answer] = app.deliver_stream().await.try_into().unwrap();
    assert_eq!(answer, json!({ "completed": 1, "failed": 0, "unfinished": 0, "removed": 0, "batchItemFailures": [] }));
    let synced = read(&wallets, &id).await;
    assert_eq!((&synced["status"], &synced["totalTransactions"]), (&json!("COMPLETED"), &json!(130)));
    assert_eq!(synced["lastSyncedAt"], 1_780_000_000_000_i64);
    let records = transactions(&wallets, &id).await;
    assert_eq!(records.len(), 130);
    assert!(records.is_sorted_by(|one, other| one["time"].as_i64() > other["time"].as_i64()));
    assert_eq!(records[129]["received"], json!({ "quantity": "0.00001", "asset": "BTC" }));
}

#[tokio::test]
async fn a_wallet_without_a_history_is_completed_too() {
    let app = TestApp::start().await;
    let id = connect_address(&app.wallets(), ADDRESS).await;
    let _ = app.deliver_stream().await;
    assert_eq!(read(&app.wallets(), &id).await["status"], "COMPLETED");
    assert_eq!(exact_total(&app, &id).await, 0);
    assert!(app.stream_events().is_empty(), "what a worker writes starts no other");
}

#[tokio::test]
async fn an_event_that_is_delivered_twice_changes_nothing() {
    let app = TestApp::start().await;
    app.fakes.esplora.receive_many(ADDRESS, 30);
    let id = connect_address(&app.wallets(), ADDRESS).await;
    let event = queued(&app);
    assert_eq!(app.invoke("wallets-sync", &event).await.expect(200)["completed"], 1);
    let before = (read(&app.wallets(), &id).await, app.all_items().await.len());
    app.fakes.esplora.host.forget_requests();
    assert_eq!(app.invoke("wallets-sync", &event).await.expect(200)["completed"], 0);
    assert_eq!((read(&app.wallets(), &id).await, app.all_items().await.len()), before);
    assert_eq!(app.fakes.esplora.host.requests().len(), 0);
}

#[tokio::test]
async fn of_several_workers_one_works() {
    let app = TestApp::start().await;
    app.fakes.esplora.receive_many(ADDRESS, 130);
    let id = connect_address(&app.wallets(), ADDRESS).await;
    let event = queued(&app);
    let scheduled = app.scheduled_event();
    let runs = [&event, &scheduled, &event, &scheduled].map(|event| app.invoke("wallets-sync", event));
    let completed: Vec<u64> = futures::future::join_all(runs)
        .await
        .iter()
        .map(|answer| answer.expect(200)["completed"].as_u64().unwrap())
        .collect();
    assert_eq!(completed.iter().sum::<u64>(), 1, "{completed:?}");
    assert_eq!(exact_total(&app, &id).await, 130);
    assert_eq!(app.fakes.esplora.host.calls("/txs/chain"), 6, "nothing was asked for twice");
}

#[tokio::test]
async fn a_run_that_is_out_of_time_is_gone_on_with() {
    let app = TestApp::start().await;
    app.fakes.esplora.receive_many(ADDRESS, 60);
    let id = connect_address(&app.wallets(), ADDRESS).await;
    let functions = local::stack::functions(&app.platform);
    let left = functions["wallets-sync"].invoke(queued(&app), Duration::from_secs(15)).await.unwrap();
    assert_eq!((&left["unfinished"], &left["completed"]), (&json!(1), &json!(0)));
    assert_eq!(read(&app.wallets(), &id).await["status"], "ONGOING");
    assert_eq!(tick(&app).await["completed"], 1);
    assert_eq!(exact_total(&app, &id).await, 60);
}

#[tokio::test]
async fn a_killed_run_is_gone_on_with_after_its_lease_and_costs_a_page() {
    let app = TestApp::start().await;
    app.fakes.esplora.receive_many(ADDRESS, 130);
    let id = connect_address(&app.wallets(), ADDRESS).await;
    let esplora = &app.fakes.esplora.host;
    let functions = local::stack::functions(&app.platform);
    let (function, event) = (functions["wallets-sync"].clone(), queued(&app));
    esplora.faults().next_on("/txs/chain/", 2, Fault::Hang);
    let killed = tokio::spawn(async move { function.invoke(event, Duration::from_secs(60)).await });
    esplora.faults().hanging(1).await;
    esplora.faults().release();
    esplora.faults().none_hanging().await;
    // Killed while it waits for the third page.
    esplora.faults().hanging(1).await;
    stored(&app, &id, 50).await;
    killed.abort();
    let shown = read(&app.wallets(), &id).await;
    assert_eq!((&shown["status"], &shown["totalTransactions"]), (&json!("ONGOING"), &json!(50)));
    assert_eq!(shown["progress"], json!({ "fetched": 50, "expected": 130 }));
    app.advance(29);
    esplora.forget_requests();
    let functions = local::stack::functions(&app.platform);
    let keys = json!({ "pk": { "S": "T#acme#wallets" }, "sk": { "S": format!("I#{id}") } });
    let event = json!({ "Records": [{ "dynamodb": { "Keys": keys } }] });
    let early = functions["wallets-sync"].invoke(event, Duration::from_secs(60)).await.unwrap();
    assert_eq!((&early["completed"], esplora.requests().len()), (&json!(0), 0), "the lease is not over");
    app.advance(1);
    assert_eq!(tick(&app).await["completed"], 1);
    assert_eq!(esplora.calls("/txs/chain"), 4, "for the rest of 130 after 50");
    assert_eq!(exact_total(&app, &id).await, 130);
}

#[tokio::test]
async fn a_worker_whose_lease_was_taken_over_changes_nothing() {
    let app = TestApp::start().await;
    app.fakes.esplora.receive_many(ADDRESS, 60);
    let id = connect_address(&app.wallets(), ADDRESS).await;
    let faults = app.fakes.esplora.host.faults();
    faults.next_on("/txs/chain/", 1, Fault::Hang);
    let event = queued(&app);
    let slow = app.invoke("wallets-sync", &event);
    let overtake = async {
        faults.hanging(1).await;
        stored(&app, &id, 25).await;
        app.advance(30);
        assert_eq!(tick(&app).await["completed"], 1);
        let after = read(&app.wallets(), &id).await;
        faults.release();
        after
    };
    let (slow, after) = futures::join!(slow, overtake);
    assert_eq!(slow.expect(200)["completed"], 0);
    assert_eq!(read(&app.wallets(), &id).await, after);
    assert_eq!(exact_total(&app, &id).await, 60);
}

#[tokio::test]
async fn what_comes_in_while_a_history_is_walked_is_counted_once() {
    let app = TestApp::start().await;
    let (wallets, esplora) = (app.wallets(), &app.fakes.esplora);
    esplora.receive_many(ADDRESS, 60);
    let id = connect_address(&wallets, ADDRESS).await;
    // Every page behind the first shifts by as many as come in.
    esplora.host.faults().next_on("/txs/chain/", 2, Fault::Hang);
    let event = queued(&app);
    let sync = app.invoke("wallets-sync", &event);
    let shift = async {
        for _ in 0..2 {
            esplora.host.faults().hanging(1).await;
            esplora.receive_many(ADDRESS, 7);
            esplora.host.faults().release();
            esplora.host.faults().none_hanging().await;
        }
    };
    let (answer, ()) = futures::join!(sync, shift);
    assert_eq!(answer.expect(200)["completed"], 1);
    assert_eq!(exact_total(&app, &id).await, 60, "what was there when the walk began");
    let asked = wallets.post_empty(&format!("/v1/integrations/{id}/sync")).await.expect(202);
    assert_eq!(asked, json!({ "walletId": id, "status": "QUEUED" }));
    let _ = app.deliver_stream().await;
    assert_eq!(exact_total(&app, &id).await, 74);
}

#[tokio::test]
async fn from_the_start_brings_nothing_twice() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    app.fakes.esplora.receive_many(ADDRESS, 130);
    let id = connect_address(&wallets, ADDRESS).await;
    let _ = app.deliver_stream().await;
    app.fakes.esplora.receive_many(ADDRESS, 3);
    app.fakes.esplora.host.forget_requests();
    let body = json!({ "mode": "from_start" });
    let _ = wallets.post(&format!("/v1/integrations/{id}/sync"), &body).await.expect(202);
    let _ = app.deliver_stream().await;
    assert!(app.fakes.esplora.host.calls("/txs/chain") >= 6);
    assert_eq!(exact_total(&app, &id).await, 133);
}

#[tokio::test]
async fn a_sync_that_is_under_way_is_the_one_that_was_asked_for() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    app.fakes.esplora.receive_many(ADDRESS, 60);
    let id = connect_address(&wallets, ADDRESS).await;
    let path = format!("/v1/integrations/{id}/sync");
    assert_eq!(wallets.post_empty(&path).await.expect(202)["status"], "QUEUED");
    let event = queued(&app);
    app.fakes.esplora.host.faults().next_on("/txs/chain/", 1, Fault::Hang);
    let sync = app.invoke("wallets-sync", &event);
    let ask = async {
        app.fakes.esplora.host.faults().hanging(1).await;
        assert_eq!(wallets.post(&path, &json!({ "mode": "from_start" })).await.expect(202)["status"], "ONGOING");
        app.fakes.esplora.host.faults().release();
    };
    let (answer, ()) = futures::join!(sync, ask);
    assert_eq!(answer.expect(200)["completed"], 1);
    assert!(app.stream_events().is_empty());
    let wrong = wallets.post(&path, &json!({ "mode": "sideways" })).await.expect(400);
    assert_eq!(wrong["details"][0]["path"], "mode");
}

#[tokio::test]
async fn what_was_synced_is_synced_again_an_hour_later() {
    let app = TestApp::start().await;
    app.fakes.esplora.receive_many(ADDRESS, 30);
    let id = connect_address(&app.wallets(), ADDRESS).await;
    let _ = app.deliver_stream().await;
    app.fakes.esplora.receive_many(ADDRESS, 5);
    app.advance(3_599);
    assert_eq!(tick(&app).await["completed"], 0);
    app.advance(1);
    assert_eq!(tick(&app).await["completed"], 1);
    assert_eq!(exact_total(&app, &id).await, 35);
    assert_eq!(read(&app.wallets(), &id).await["lastSyncedAt"], 1_780_003_600_000_i64);
}

#[tokio::test]
async fn a_provider_that_asks_to_wait_is_waited_for() {
    let app = TestApp::start().await;
    app.fakes.esplora.receive_many(ADDRESS, 30);
    let id = connect_address(&app.wallets(), ADDRESS).await;
    app.fakes.esplora.throttle(1, 90.0);
    assert_eq!(app.deliver_stream().await[0]["unfinished"], 1);
    assert_eq!(read(&app.wallets(), &id).await["status"], "ONGOING");
    app.advance(89);
    app.fakes.esplora.host.forget_requests();
    let _ = tick(&app).await;
    assert_eq!(app.fakes.esplora.host.requests().len(), 0);
    app.advance(1);
    assert_eq!(tick(&app).await["completed"], 1);
    assert_eq!(exact_total(&app, &id).await, 30);
}

#[tokio::test]
async fn a_provider_that_is_down_is_tried_again_and_again_and_then_the_sync_fails_and_keeps_its_place() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    app.fakes.esplora.receive_many(ADDRESS, 60);
    let id = connect_address(&wallets, ADDRESS).await;
    let faults = app.fakes.esplora.host.faults();
    let refused = || Fault::Answer(fakes::Answer::status(502));
    faults.next_on("/txs/chain/", usize::MAX, refused());
    assert_eq!(app.deliver_stream().await[0]["unfinished"], 1);
    let mut pauses = Vec::new();
    while read(&wallets, &id).await["status"] == "ONGOING" {
        let shown = read(&wallets, &id).await;
        assert_eq!(shown["progress"]["message"], "Bitcoin has trouble of its own (HTTP 502).");
        let mut pause = 0;
        loop {
            app.fakes.esplora.host.forget_requests();
            let _ = tick(&app).await;
            if !app.fakes.esplora.host.requests().is_empty() {
                break;
            }
            app.advance(30);
            pause += 30;
            assert!(pause <= 3_600, "{pauses:?}");
        }
        pauses.push(pause);
    }
    assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1_920]);
    let failed = read(&wallets, &id).await;
    assert_eq!((&failed["status"], &failed["totalTransactions"]), (&json!("FAILED"), &json!(25)));
    assert_eq!(failed["message"], "Bitcoin has trouble of its own (HTTP 502).");
    let listed = wallets.get("/v1/integrations?status=FAILED").await.expect(200);
    assert_eq!(listed["data"][0]["message"], failed["message"]);
    faults.clear();
    app.fakes.esplora.host.forget_requests();
    app.advance(6 * 3_600);
    assert_eq!(tick(&app).await["completed"], 1);
    assert_eq!(exact_total(&app, &id).await, 60);
}

#[tokio::test]
async fn an_answer_that_is_none_is_not_believed() {
    let app = TestApp::start().await;
    app.fakes.esplora.receive_many(ADDRESS, 30);
    let id = connect_address(&app.wallets(), ADDRESS).await;
    let faults = app.fakes.esplora.host.faults();
    faults.next(1, Fault::Answer(fakes::Answer::status(200).body("<html>Welcome</html>")));
    assert_eq!(app.deliver_stream().await[0]["unfinished"], 1);
    app.advance(30);
    faults.next(2, Fault::Close);
    assert_eq!(tick(&app).await["unfinished"], 1);
    app.advance(60);
    assert_eq!(tick(&app).await["completed"], 1);
    assert_eq!(exact_total(&app, &id).await, 30);
}

#[tokio::test]
async fn a_keys_addresses_are_one_wallet_whose_transactions_count_once() {
    let app = TestApp::start().await;
    let esplora = &app.fakes.esplora;
    esplora.receive(ADDRESS, 100_000);
    esplora.receive(ANOTHER_ADDRESS, 50_000);
    let change = "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el";
    let payee = "1BoatSLRHtKNngkdXEeobR76b53LETtpyT";
    let spent =
        esplora.transact(&[(ADDRESS, 100_000), (ANOTHER_ADDRESS, 50_000)], &[(payee, 120_000), (change, 29_000)]);
    let id = connect(&app.wallets(), &json!({ "provider": "bitcoin", "xpub": ZPUB })).await;
    let _ = app.deliver_stream().await;
    assert_eq!(exact_total(&app, &id).await, 3);
    let records = transactions(&app.wallets(), &id).await;
    let expected = json!({
        "id": spent,
        "time": records[0]["time"],
        "kind": "transfer",
        "sent": { "quantity": "0.0012", "asset": "BTC" },
        "received": null,
        "fee": { "quantity": "0.00001", "asset": "BTC" },
        "txHash": spent,
    });
    assert_eq!(records[0], expected);
}

#[tokio::test]
async fn cursors_of_records_are_their_own_lists() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    app.fakes.esplora.receive_many(ADDRESS, 30);
    app.fakes.esplora.receive_many(ANOTHER_ADDRESS, 30);
    let (one, other) = (connect_address(&wallets, ADDRESS).await, connect_address(&wallets, ANOTHER_ADDRESS).await);
    let _ = app.deliver_stream().await;
    let page = wallets.get(&format!("/v1/integrations/{one}/transactions?limit=10")).await.expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    let _ = wallets.get(&format!("/v1/integrations/{one}/transactions?limit=10&cursor={cursor}")).await.expect(200);
    for path in [
        format!("/v1/integrations/{other}/transactions?cursor={cursor}"),
        format!("/v1/integrations/{one}/transactions?cursor=x{cursor}"),
        format!("/v1/integrations/{one}/transactions?limit=501"),
    ] {
        let body = wallets.get(&path).await.expect(400);
        assert_eq!(body["message"], "Invalid query parameters");
    }
}
