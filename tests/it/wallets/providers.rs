//! Exchanges from end to end: a key is given, its history is brought in, the key is deleted at the exchange, given anew,
//! and the integration is removed. One story for all; an exchange is a row of what differs.

use std::collections::HashSet;

use fakes::Fakes;
use fakes::exchanges::bitfinex::BitfinexKey;
use fakes::exchanges::bybit::BybitKey;
use fakes::exchanges::gemini::GeminiKey;
use fakes::exchanges::kraken::KrakenKey;
use fakes::exchanges::kucoin::KucoinKey;
use fakes::exchanges::okx::OkxKey;
use kit::{Client, TestApp};
use serde_json::{Value, json};

use super::fixtures::{connect, read, tick, transactions};

/// When the app's clock begins, in milliseconds.
const NOW: i64 = 1_780_000_000_000;
const HOUR: i64 = 3_600_000;
/// The account's key, everywhere.
const KEY: &str = "a-key-of-an-exchange";
/// A private key in the form that Kraken wants, and another one.
const BASE64: &str = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==";
const ANOTHER: &str = "c29tZXRoaW5nIGVsc2UgdGhhdCBpcyBhIGtleSBvZiA2NCBieXRlcywgbW9yZSBvciBsZXNzLCBhcyBvbmUgd2FudHM=";

/// What differs from one exchange to another.
struct Exchange {
    provider: &'static str,
    /// Adds [`KEY`] to the exchange, as one that may read and nothing else, and sets the exchange's clock, if it looks at
    /// one. Its credentials.
    open: fn(&Fakes) -> Value,
    /// Deletes [`KEY`] at the exchange.
    close: fn(&Fakes),
    /// Books a history, the newest an hour ago or older. How many records it makes.
    live: fn(&Fakes) -> usize,
    /// What the owner of a deleted key is told, in part.
    told: &'static str,
}

fn status(wallet: &Value) -> &str {
    wallet["status"].as_str().unwrap()
}

/// Delivers what is waiting and runs the schedule until the sync has ended. The integration.
async fn synced(app: &TestApp, wallets: &Client, id: &str) -> Value {
    let _ = app.deliver_stream().await;
    for _ in 0..20 {
        let wallet = read(wallets, id).await;
        if !matches!(status(&wallet), "QUEUED" | "ONGOING") {
            return wallet;
        }
        app.advance(60);
        let _ = tick(app).await;
    }
    panic!("the sync does not end: {}", read(wallets, id).await);
}

async fn ask_for_sync(wallets: &Client, id: &str, mode: &str) {
    let _ = wallets.post(&format!("/v1/integrations/{id}/sync"), &json!({ "mode": mode })).await.expect(202);
}

async fn from_key_to_removal(exchange: Exchange) {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let credentials = (exchange.open)(&app.fakes);
    let booked = (exchange.live)(&app.fakes);
    let body = json!({ "provider": exchange.provider, "credentials": credentials, "alias": "Savings" });

    let mut wrong = body.clone();
    wrong["credentials"]["apiSecret"] = ANOTHER.into();
    let refused = wallets.post("/v1/integrations", &wrong).await.expect(400);
    assert_eq!(refused["details"][0]["path"], "credentials.apiSecret", "{refused}");
    let reason = refused["details"][0]["message"].as_str().unwrap();
    assert!(reason.contains("does not belong to this API key"), "{reason}");

    let id = connect(&wallets, &body).await;
    assert_eq!(wallets.post("/v1/integrations", &body).await.expect(409)["walletId"], id);
    let wallet = synced(&app, &wallets, &id).await;
    assert_eq!((status(&wallet), wallet["totalTransactions"].as_u64()), ("COMPLETED", Some(booked as u64)));
    assert_eq!((&wallet["category"], &wallet["publicAddress"]), (&json!("exchange"), &Value::Null));
    assert!(wallet.get("warnings").is_none_or(|warnings| warnings.as_array().is_none_or(Vec::is_empty)), "{wallet}");
    let records = transactions(&wallets, &id).await;
    let ids: HashSet<(&str, &str)> =
        records.iter().map(|one| (one["kind"].as_str().unwrap(), one["id"].as_str().unwrap())).collect();
    assert_eq!((records.len(), ids.len()), (booked, booked));
    for trade in records.iter().filter(|record| record["kind"] == "trade") {
        assert!(trade["sent"].is_object() && trade["received"].is_object(), "half a trade: {trade}");
    }

    // Neither what is new nor all of it brings anything twice.
    for mode in ["latest", "from_start"] {
        app.advance(60);
        ask_for_sync(&wallets, &id, mode).await;
        let wallet = synced(&app, &wallets, &id).await;
        assert_eq!((status(&wallet), wallet["totalTransactions"].as_u64()), ("COMPLETED", Some(booked as u64)));
    }

    (exchange.close)(&app.fakes);
    app.advance(60);
    ask_for_sync(&wallets, &id, "latest").await;
    let wallet = synced(&app, &wallets, &id).await;
    assert_eq!((status(&wallet), wallet["totalTransactions"].as_u64()), ("FAILED", Some(booked as u64)));
    assert!(wallet["message"].as_str().unwrap().contains(exchange.told), "{wallet}");

    let credentials = (exchange.open)(&app.fakes);
    app.advance(60);
    let path = format!("/v1/integrations/{id}");
    let _ = wallets.patch(&path, &json!({ "credentials": credentials })).await.expect(200);
    let wallet = synced(&app, &wallets, &id).await;
    assert_eq!((status(&wallet), wallet["totalTransactions"].as_u64()), ("COMPLETED", Some(booked as u64)));
    assert!(wallet.get("message").is_none(), "{wallet}");

    let (items, logs) = (app.all_items().await, kit::logs::all());
    for (name, value) in credentials.as_object().unwrap() {
        let value = value.as_str().unwrap();
        assert!(!items.contains(value) && !logs.contains(value), "{name} is seen");
    }
    let _ = wallets.delete(&path).await.expect(204);
    assert!(app.secret_names().await.is_empty());
    let _ = app.deliver_stream().await;
    let _ = tick(&app).await;
    assert_eq!(app.items_to_be_removed().await.matches(&id).count(), 0, "nothing is left");
}

#[tokio::test]
async fn bitfinex_from_key_to_removal() {
    from_key_to_removal(Exchange {
        provider: "bitfinex",
        open: |fakes| {
            fakes.bitfinex.add_key(BitfinexKey::reading(KEY, BASE64));
            json!({ "apiKey": KEY, "apiSecret": BASE64 })
        },
        close: |fakes| fakes.bitfinex.revoke(KEY),
        live: |fakes| {
            fakes.bitfinex.movement(KEY, NOW - 25 * HOUR, "BTC", ("1.5", "0"), "COMPLETED");
            fakes.bitfinex.ledger_entry(KEY, NOW - 23 * HOUR, 28, "USD", "0.75");
            for number in 0..620 {
                let time = NOW - 24 * HOUR + number;
                fakes.bitfinex.trade(KEY, time, "tBTCUSD", ("0.001", "20000"), ("-0.01", "USD"));
            }
            622
        },
        told: "was deleted",
    })
    .await;
}

#[tokio::test]
async fn bybit_from_key_to_removal() {
    from_key_to_removal(Exchange {
        provider: "bybit",
        open: |fakes| {
            fakes.bybit.set_clock(NOW);
            fakes.bybit.add_key(BybitKey::reading(KEY, BASE64));
            json!({ "apiKey": KEY, "apiSecret": BASE64 })
        },
        close: |fakes| fakes.bybit.revoke(KEY),
        live: |fakes| {
            fakes.bybit.deposit(KEY, NOW - 1_000 * HOUR, "USDT", "1000", 3);
            fakes.bybit.withdraw(KEY, NOW - 900 * HOUR, "SOL", "3", "0.01");
            for number in 0..130 {
                fakes.bybit.trade(KEY, NOW - 100 * HOUR + number, ("USDT", "-25", "0"), ("ETH", "0.01", "0.00001"));
            }
            132
        },
        told: "Make a new one",
    })
    .await;
}

#[tokio::test]
async fn gemini_from_key_to_removal() {
    from_key_to_removal(Exchange {
        provider: "gemini",
        open: |fakes| {
            fakes.gemini.add_key(GeminiKey::reading(KEY, BASE64));
            json!({ "apiKey": KEY, "apiSecret": BASE64 })
        },
        close: |fakes| fakes.gemini.revoke(KEY),
        live: |fakes| {
            fakes.gemini.transfer(KEY, NOW - 25 * HOUR, "Deposit", ("1.5", "BTC"), "Complete");
            for number in 0..620 {
                let time = NOW - 24 * HOUR + number;
                fakes.gemini.trade(KEY, time, "BTCUSD", "Buy", ("0.001", "20000"), ("0.01", "USD"));
            }
            621
        },
        told: "was deleted",
    })
    .await;
}

#[tokio::test]
async fn kraken_from_key_to_removal() {
    from_key_to_removal(Exchange {
        provider: "kraken",
        open: |fakes| {
            fakes.kraken.add_key(KrakenKey::reading(KEY, BASE64));
            json!({ "apiKey": KEY, "apiSecret": BASE64 })
        },
        close: |fakes| fakes.kraken.revoke(KEY),
        live: |fakes| {
            for number in 0..130 {
                let time = 1_770_000_000.0 + f64::from(number) * 60.0;
                if number % 2 == 0 {
                    fakes.kraken.trade(KEY, time, ("ZUSD", "-10"), ("XXBT", "0.001"), "0.01");
                } else {
                    fakes.kraken.deposit(KEY, time, "ZUSD", "10");
                }
            }
            130
        },
        told: "Make a new one",
    })
    .await;
}

#[tokio::test]
async fn kucoin_from_key_to_removal() {
    from_key_to_removal(Exchange {
        provider: "kucoin",
        open: |fakes| {
            fakes.kucoin.set_clock(NOW);
            fakes.kucoin.add_key(KucoinKey::reading(KEY, BASE64, "a-phrase-of-kucoin"));
            json!({ "apiKey": KEY, "apiSecret": BASE64, "passphrase": "a-phrase-of-kucoin" })
        },
        close: |fakes| fakes.kucoin.revoke(KEY),
        live: |fakes| {
            fakes.kucoin.deposit(KEY, NOW - 1_000 * HOUR, "USDT", "1000", "SUCCESS");
            fakes.kucoin.withdraw(KEY, NOW - 900 * HOUR, "SOL", "3", "0.01");
            for number in 0..130 {
                fakes.kucoin.trade(KEY, NOW - HOUR + number, "ETH-USDT", ("ETH", "0.01", "0"), ("USDT", "25"));
            }
            132
        },
        told: "Make a new one",
    })
    .await;
}

#[tokio::test]
async fn okx_from_key_to_removal() {
    from_key_to_removal(Exchange {
        provider: "okx",
        open: |fakes| {
            fakes.okx.set_clock(NOW);
            fakes.okx.add_key(OkxKey::reading(KEY, BASE64, "a-phrase-of-okx"));
            json!({ "apiKey": KEY, "apiSecret": BASE64, "passphrase": "a-phrase-of-okx" })
        },
        close: |fakes| fakes.okx.revoke(KEY),
        live: |fakes| {
            fakes.okx.deposit(KEY, NOW - 1_000 * HOUR, "USDT", "1000", "2");
            fakes.okx.withdraw(KEY, NOW - 900 * HOUR, "SOL", "3", "0.01");
            for number in 0..130 {
                let (paid, got) = (("USDT", "-25", "0"), ("ETH", "0.01", "-0.00001"));
                fakes.okx.trade(KEY, NOW - 100 * HOUR + number, "ETH-USDT", paid, got);
            }
            132
        },
        told: "Make a new one",
    })
    .await;
}
