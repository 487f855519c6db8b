//! `POST /v1/integrations/csv`.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use http::Method;
use kit::fault_proxy::Fault;
use kit::{Answer, Client, TestApp};
use serde_json::{Value, json};
use shared::auth::Tenant;
use shared::http::ApiError;
use wallets::imports::store::Target;
use wallets::model::WalletId;

use super::fixtures::{ADDRESS, NOBODYS, connect_address, listed, read, tick, transactions};

const PATH: &str = "/v1/integrations/csv";
const GENERIC: &str =
    "timestamp,type,sent_amount,sent_asset,received_amount,received_asset,fee_amount,fee_asset,external_id\n";
/// Longer than a lease, and than a request that died holds its idempotency key.
const A_WHILE: i64 = 61;

/// Sends a file alone; `query` begins with a question mark, or is empty.
async fn send(wallets: &Client, query: &str, file: impl Into<Vec<u8>>) -> Answer {
    let wallets = wallets.clone().header("content-type", "text/csv");
    wallets.send(Method::POST, &format!("{PATH}{query}"), file.into()).await
}

/// Sends a form of these parts, as curl and browsers do.
async fn send_form(wallets: &Client, boundary: &str, parts: &[(&str, &str)]) -> Answer {
    let mut body = String::new();
    for (name, text) in parts {
        let file = if *name == "file" { "; filename=\"export.csv\"\r\nContent-Type: text/csv" } else { "" };
        body += &format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{text}\r\n");
    }
    body += &format!("--{boundary}--\r\n");
    let content_type = format!("multipart/form-data; boundary={boundary}");
    wallets.clone().header("content-type", &content_type).send(Method::POST, PATH, body).await
}

/// Imports a file that must be taken; the report.
async fn import(wallets: &Client, query: &str, file: &str) -> Value {
    send(wallets, query, file).await.expect(201)
}

/// Deposits, one a minute, from the number `from` up to `to`.
fn deposits(from: usize, to: usize) -> String {
    let row = |number: usize| format!("2024-01-01 {:02}:{:02}:00,,,,{},BTC,,,\n", number / 60, number % 60, number + 1);
    (from..to).map(row).fold(GENERIC.to_owned(), |text, row| text + &row)
}

fn counts(report: &Value) -> [u64; 4] {
    ["imported", "duplicates", "skipped", "rejectedCount"].map(|name| report[name].as_u64().unwrap())
}

/// The id of the integration that a file was imported into.
fn id(report: &Value) -> String {
    report["integration"]["walletId"].as_str().unwrap().to_owned()
}

fn paths(body: &Value) -> Vec<&str> {
    body["details"].as_array().unwrap().iter().map(|detail| detail["path"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_is_no_file_is_refused_and_leaves_nothing() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    for (file, reason) in [
        (&b""[..], "is empty"),
        (b"PK\x03\x04", "Excel"),
        (b"a,b\n1,2\n", "no header of a known layout"),
        (b"{\"file\": 1}", "no header of a known layout"),
    ] {
        let answer = send(&wallets, "", file).await.expect(400);
        assert_eq!((&answer["error"], paths(&answer)), (&json!("invalid_parameters"), vec!["file"]));
        let message = answer["details"][0]["message"].as_str().unwrap();
        assert!(message.contains(reason), "{message}");
    }
    for (query, path) in [
        ("?provider=lehman", "provider"),
        ("?provider=bitcoin", "provider"),
        ("?alias=%00", "alias"),
        ("?provider=kraken", "file"),
    ] {
        let trades = "Date(UTC),Pair,Side,Price,Executed,Amount,Fee\n";
        assert_eq!(paths(&send(&wallets, query, trades).await.expect(400)), [path], "{query}");
    }
    for (parts, path) in [
        (&[("alias", "x")][..], "file"),
        (&[("file", GENERIC), ("file", GENERIC)], "file"),
        (&[("file", GENERIC), ("colour", "red")], "colour"),
        (&[("provider", "lehman"), ("file", GENERIC)], "provider"),
    ] {
        assert_eq!(paths(&send_form(&wallets, "b", parts).await.expect(400)), [path]);
    }
    let broken = wallets.clone().header("content-type", "multipart/form-data; boundary=b");
    assert_eq!(paths(&broken.send(Method::POST, PATH, "--c").await.expect(400)), ["body"]);
    let json = wallets.post(PATH, &json!({})).await.expect(415);
    assert_eq!(json["message"], "The body must be sent with `Content-Type: multipart/form-data or text/csv`.");
    assert_eq!(wallets.get("/v1/integrations").await.expect(200)["pagination"]["totalCount"], 0);
}

#[tokio::test]
async fn a_file_becomes_an_integration() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let answer = send(&wallets, "?alias=Old%20account&provider=kraken", deposits(0, 120)).await;
    let report = answer.expect(201);
    let wallet = id(&report);
    assert_eq!(answer.header("location"), Some(format!("/wallets/api/v1/integrations/{wallet}").as_str()));
    assert_eq!((counts(&report), &report["rows"], &report["layout"]), ([120, 0, 0, 0], &json!(120), &json!("generic")));
    assert_eq!(report["rejected"], json!([]));
    let shown = &report["integration"];
    assert_eq!((&shown["alias"], &shown["provider"]), (&json!("Old account"), &json!("kraken")));
    assert_eq!((&shown["type"], &shown["category"]), (&json!("csv"), &json!("exchange")));
    assert_eq!((&shown["status"], &shown["totalTransactions"]), (&json!("COMPLETED"), &json!(120)));
    assert_eq!((&shown["publicAddress"], &shown["lastSyncedAt"]), (&json!(null), &json!(1_780_000_000_000_i64)));
    assert_eq!(read(&wallets, &wallet).await, *shown);
    assert_eq!(listed(&wallets, "type=csv&status=COMPLETED", "walletId").await, std::slice::from_ref(&wallet));
    let records = transactions(&wallets, &wallet).await;
    assert_eq!(records.len(), 120);
    assert_eq!(records[0]["received"], json!({ "quantity": "120", "asset": "BTC" }));
    let _ = wallets.post_empty(&format!("/v1/integrations/{wallet}/sync")).await.expect(409);
    assert_eq!(tick(&app).await["failed"], 0, "there is nothing for the job to do");
    assert_eq!(read(&wallets, &wallet).await["status"], "COMPLETED");
    let _ = wallets.delete(&format!("/v1/integrations/{wallet}")).await.expect(204);
    assert!(!app.items_to_be_removed().await.contains(&wallet));
}

#[tokio::test]
async fn the_layout_tells_the_provider() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    for (file, layout, provider, imported) in [
        (
            "Date(UTC),Pair,Side,Price,Executed,Amount,Fee\n2024-01-05 10:00:00,BTCUSDT,BUY,42000,0.01BTC,420USDT,0.00001BTC\n",
            "binance_trades",
            "binance",
            1,
        ),
        (
            "Date(UTC),Market,Type,Price,Amount,Total,Fee,Fee Coin\n2020-01-05 10:00:00,ETHBTC,SELL,0.02,1,0.02,0.0001,BNB\n",
            "binance_trades_older",
            "binance",
            1,
        ),
        (
            "UTC_Time,Account,Operation,Coin,Change,Remark\n2022-01-01 00:00:00,Spot,Buy,BTC,1,\n\
             2022-01-01 00:00:00,Spot,Transaction Related,USDT,-40000,\n2022-01-01 00:00:00,Spot,Fee,BNB,-0.1,\n",
            "binance_statement",
            "binance",
            1,
        ),
        (
            "Date(UTC+0),Coin,Network,Amount,Address,TXID,Status\n2024-02-01 08:00:00,BTC,BTC,0.5,bc1q,ab12,Completed\n",
            "binance_deposits",
            "binance",
            1,
        ),
        (
            "Date(UTC+0),Coin,Network,Amount,Fee,Address,TXID,Status\n2024-02-01 08:00:00,BTC,BTC,0.5,0.1,bc1q,ab12,Completed\n",
            "binance_withdrawals",
            "binance",
            1,
        ),
        (
            "\nTransactions\nUser,Zoe,1\nID,Timestamp,Transaction Type,Asset,Quantity Transacted,Price Currency,Price at Transaction,\
             Subtotal,Total (inclusive of fees and/or spread),Fees and/or Spread,Notes\n\
             a1,2024-03-05 10:00:00 UTC,Buy,BTC,0.01,USD,$60000,$600.00,$606.00,$6.00,Bought 0.01 BTC for 606 USD\n",
            "coinbase_transactions",
            "coinbase",
            1,
        ),
        (
            "\"txid\",\"refid\",\"time\",\"type\",\"subtype\",\"aclass\",\"asset\",\"amount\",\"fee\",\"balance\"\n\
             \"L1\",\"T1\",\"2021-03-01 11:00:00\",\"trade\",\"\",\"currency\",\"ZEUR\",-400.0,0.64,599.36\n\
             \"L2\",\"T1\",\"2021-03-01 11:00:00\",\"trade\",\"\",\"currency\",\"XXBT\",0.01,0,0.01\n",
            "kraken_ledgers",
            "kraken",
            1,
        ),
        (
            "txid,ordertxid,pair,time,type,ordertype,price,cost,fee,vol,margin,misc,ledgers\n\
             T1,O1,XXBTZEUR,2021-03-01 11:00:00.12,buy,limit,40000,400,0.64,0.01,0,,\"L1,L2\"\n",
            "kraken_trades",
            "kraken",
            1,
        ),
        (
            "UID,Account Type,Order ID,Symbol,Side,Order Type,Avg. Filled Price,Filled Amount,Filled Volume,Filled Volume (USDT),\
             Filled Time(UTC+08:00),Fee,Maker/Taker,Fee Currency\n\
             7,main,65a1,BTC-USDT,BUY,LIMIT,40000,0.01,400,400,2024-01-10 08:00:00,0.4,TAKER,USDT\n",
            "kucoin_trades",
            "kucoin",
            1,
        ),
        ("timestamp;received_amount;received_asset\n2024-01-01;0,5;BTC\n", "generic", "csv", 1),
    ] {
        let report = import(&wallets, "", file).await;
        assert_eq!((&report["layout"], counts(&report)), (&json!(layout), [imported, 0, 0, 0]), "{report}");
        assert_eq!(report["integration"]["provider"], provider);
        let again = import(&wallets, &format!("?walletId={}", id(&report)), file).await;
        assert_eq!(counts(&again), [0, imported, 0, 0], "{layout} once more");
    }
    let offered = wallets.get("/v1/providers").await.expect(200);
    let offered = offered["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["types"].as_array().unwrap().contains(&json!("csv")));
    let offered: BTreeSet<&str> = offered.map(|entry| entry["id"].as_str().unwrap()).collect();
    assert_eq!(offered, BTreeSet::from(["binance", "coinbase", "csv", "kraken", "kucoin"]));
}

#[tokio::test]
async fn forms_and_encodings_are_taken_alike() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let file = "timestamp,received_amount,received_asset,account\r\n2024-01-01,1,BTC,für Zoë\r\n";
    let form = [("alias", "A form"), ("walletId", ""), ("file", file), ("provider", "csv")];
    let first = send_form(&wallets, "----WebKitFormBoundary7MA4", &form).await.expect(201);
    assert_eq!((counts(&first), &first["integration"]["alias"]), ([1, 0, 0, 0], &json!("A form")));
    let into = format!("?walletId={}", id(&first));
    let wide: Vec<u8> = std::iter::once(0xFEFF).chain(file.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let latin: Vec<u8> = file.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
    for bytes in [wide, latin.clone(), [b"\xEF\xBB\xBF", file.as_bytes()].concat()] {
        assert_eq!(counts(&send(&wallets, &into, bytes).await.expect(201)), [0, 1, 0, 0]);
    }
    let named = wallets.clone().header("content-type", "text/csv; charset=\"iso-8859-1\"");
    let report = named.send(Method::POST, &format!("{PATH}{into}"), latin).await.expect(201);
    assert_eq!(counts(&report), [0, 1, 0, 0]);
    // API Gateway hands over in base64 whatever it takes for binary, and forms are.
    let body = format!("--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n{file}\r\n--b--\r\n");
    let tenant = app.tenant("acme");
    let event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": PATH, "rawQueryString": "",
        "headers": {
            "authorization": format!("Bearer {}", tenant.tokens.admin), "x-client-id": tenant.client_id,
            "x-client-secret": tenant.client_secret, "content-type": "multipart/form-data; boundary=b",
        },
        "requestContext": {
            "accountId": "1", "apiId": "a", "stage": "$default", "requestId": "r", "timeEpoch": 0,
            "http": { "method": "POST", "path": PATH, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "t" },
        },
        "body": STANDARD.encode(body), "isBase64Encoded": true,
    });
    let answer = app.invoke("wallets-api", &event).await.expect(200);
    assert_eq!(answer["statusCode"], 201, "{answer}");
    let report: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(counts(&report), [1, 0, 0, 0]);
}

#[tokio::test]
async fn bad_rows_are_named_and_the_rest_is_imported() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let file = format!(
        "{GENERIC}2024-01-01,,,,1,BTC,,,\n\n2024-01-02,,,,lots,BTC,,,\nyesterday,,,,1,BTC,,,\n2024-01-04,,,,1,BTC\n2024-01-05,,,,2,BTC,,,\n"
    );
    let report = import(&wallets, "", &file).await;
    assert_eq!((counts(&report), &report["rows"]), ([2, 0, 0, 3], &json!(5)));
    assert_eq!(
        report["rejected"],
        json!([
            { "line": 4, "column": "received_amount", "reason": "\"lots\" is not a number" },
            { "line": 5, "column": "timestamp", "reason": "\"yesterday\" is not a date and time, such as 2024-05-31 23:59:59" },
            { "line": 6, "column": null, "reason": "the row has 6 columns where the header has 9" },
        ])
    );
    assert_eq!(
        (&report["integration"]["status"], transactions(&wallets, &id(&report)).await.len()),
        (&json!("COMPLETED"), 2)
    );
    let corrected =
        file.replace("lots", "3").replace("yesterday", "2024-01-03").replace("04,,,,1,BTC", "04,,,,1,BTC,,,");
    let report = import(&wallets, &format!("?walletId={}", id(&report)), &corrected).await;
    assert_eq!((counts(&report), &report["integration"]["totalTransactions"]), ([3, 2, 0, 0], &json!(5)));
    let many = import(&wallets, "", &format!("{GENERIC}{}", "no,,,,1,BTC,,,\n".repeat(1_000))).await;
    assert_eq!((counts(&many), many["rejected"].as_array().unwrap().len()), ([0, 0, 0, 1_000], 100));
    assert_eq!(many["integration"]["status"], "COMPLETED");
}

#[tokio::test]
async fn files_that_overlap_add_what_is_new() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let first = import(&wallets, "", &deposits(0, 150)).await;
    let into = format!("?walletId={}&alias=Joined", id(&first));
    assert_eq!(counts(&import(&wallets, &into, &deposits(100, 250)).await), [100, 50, 0, 0]);
    let again = import(&wallets, &into, &deposits(0, 250)).await;
    assert_eq!((counts(&again), &again["integration"]["totalTransactions"]), ([0, 250, 0, 0], &json!(250)));
    assert_eq!(again["integration"]["alias"], "Joined");
    assert_eq!(transactions(&wallets, &id(&first)).await.len(), 250);
    // The very same twice is two, and stays two.
    let pair = format!("{GENERIC}{}", "2024-05-01,,,,1,BTC,,,\n".repeat(2));
    assert_eq!(counts(&import(&wallets, &into, &pair).await), [2, 0, 0, 0]);
    assert_eq!(counts(&import(&wallets, &into, &pair).await), [0, 2, 0, 0]);
    // But what has the same name of its own is the same.
    let named = format!("{GENERIC}{}", "2024-05-02,,,,1,BTC,,,own\n".repeat(2));
    assert_eq!(counts(&import(&wallets, &into, &named).await), [1, 1, 0, 0]);
}

#[tokio::test]
async fn a_file_goes_only_where_it_belongs() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let trades = "Date(UTC),Pair,Side,Price,Executed,Amount,Fee\n2024-01-05 10:00:00,BTCUSDT,BUY,1,1BTC,1USDT,0BTC\n";
    let kraken = id(&import(&wallets, "?provider=kraken", GENERIC).await);
    let synced = connect_address(&wallets, ADDRESS).await;
    for (query, reason) in [
        (format!("?walletId={synced}"), "is synced with its provider"),
        (format!("?walletId={kraken}"), "at kraken, and the file is of binance"),
        (format!("?walletId={kraken}&provider=binance"), "at kraken, and the file is of binance"),
    ] {
        let answer = send(&wallets, &query, trades).await.expect(409);
        assert!(answer["message"].as_str().unwrap().contains(reason), "{answer}");
    }
    for wrong in [NOBODYS, "whatever"] {
        let answer = send(&wallets, &format!("?walletId={wrong}"), trades).await.expect(404);
        assert_eq!(answer["message"], "Integration not found.");
    }
    let tenant = app.tenant("globex");
    let globex = app.wallets_as(tenant, &tenant.tokens.admin);
    let _ = send(&globex, &format!("?walletId={kraken}"), GENERIC).await.expect(404);
    assert_eq!(read(&wallets, &kraken).await["totalTransactions"], 0);
    // What is anybody's making may hold anybody's.
    let own = id(&import(&wallets, "", GENERIC).await);
    assert_eq!(counts(&import(&wallets, &format!("?walletId={own}"), trades).await), [1, 0, 0, 0]);
}

#[tokio::test]
async fn what_fits_through_the_gateway_is_taken_and_more_is_told_how_to_split() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    const LARGEST: usize = 4_500_000;
    // What a function can be given, the event's other parts left out.
    const { assert!(LARGEST.div_ceil(3) * 4 + 256 * 1024 < 6 * 1024 * 1024) };
    let note = "x".repeat(8_000);
    let row = format!("2024-01-01,1,BTC,{note}\n");
    let header = "timestamp,received_amount,received_asset,note\n";
    let mut file = format!("{header}{}", row.repeat((LARGEST - header.len()) / row.len()));
    file += &"\n".repeat(LARGEST - file.len());
    let keyed = wallets.clone().header("idempotency-key", "large");
    let report = send(&keyed, "", file.clone()).await.expect(201);
    assert_eq!(report["rows"].as_u64().unwrap() as usize, (LARGEST - header.len()) / row.len());
    for client in [wallets.clone(), wallets.clone().header("idempotency-key", "larger")] {
        let answer = send(&client, "", format!("{file}\n")).await.expect(413);
        assert_eq!(answer["error"], "payload_too_large");
        let message = answer["message"].as_str().unwrap();
        assert!(
            message.contains("4.5 MB") && message.contains("Split it") && message.contains("walletId"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer() {
    let app = TestApp::start().await;
    let wallets = app.wallets().header("idempotency-key", "one");
    let file = deposits(0, 3);
    let first = send_form(&wallets, "----curl1", &[("file", &file)]).await;
    let _ = first.expect(201);
    let again = send_form(&wallets, "----curl2", &[("file", &file)]).await;
    assert_eq!((again.text.as_str(), again.header("idempotent-replayed")), (first.text.as_str(), Some("true")));
    let other = send_form(&wallets, "----curl3", &[("file", &deposits(0, 4))]).await.expect(409);
    assert_eq!(other["error"], "conflict");
    assert_eq!(app.wallets().get("/v1/integrations").await.expect(200)["pagination"]["totalCount"], 1);
}

#[tokio::test]
async fn of_many_who_import_the_same_file_at_once_each_record_is_counted_once() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let wallet = id(&import(&wallets, "", GENERIC).await);
    let (query, file) = (format!("?walletId={wallet}"), deposits(0, 250));
    let answers = futures::future::join_all((0..6).map(|_| send(&wallets, &query, file.clone()))).await;
    let imported: u64 =
        answers.iter().filter(|answer| answer.status == 201).map(|answer| counts(&answer.json())[0]).sum();
    for busy in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(
            (busy.expect(409)["walletId"].as_str(), busy.header("retry-after")),
            (Some(wallet.as_str()), Some("5"))
        );
    }
    assert_eq!((imported, transactions(&wallets, &wallet).await.len()), (250, 250));
    assert_eq!(read(&wallets, &wallet).await["totalTransactions"], 250);
}

#[tokio::test]
async fn an_import_that_stopped_is_told_and_gone_on_with() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let file = deposits(0, 250);
    let stopped = app.proxy.inject(Fault::Refuse).on("TransactWriteItems").nth(3).always();
    let _ = send(&wallets, "", file.clone()).await.expect(500);
    assert!(stopped.strikes() > 0);
    app.proxy.clear();
    let [wallet] = listed(&wallets, "", "walletId").await.try_into().unwrap();
    let left = read(&wallets, &wallet).await;
    assert_eq!((&left["status"], &left["totalTransactions"]), (&json!("ONGOING"), &json!(98)));
    assert_eq!(left["progress"], json!({ "fetched": 98 }));
    app.advance(A_WHILE);
    assert_eq!(tick(&app).await["failed"], 1);
    let left = read(&wallets, &wallet).await;
    assert_eq!(left["status"], "FAILED");
    assert!(left["message"].as_str().unwrap().contains("Import the file once more"), "{left}");
    app.proxy.forget_calls();
    let report = import(&wallets, &format!("?walletId={wallet}"), &file).await;
    assert_eq!((counts(&report), &report["integration"]["status"]), ([250, 0, 0, 0], &json!("COMPLETED")));
    assert_eq!(report["integration"].get("message"), None);
    let pages = app.proxy.operations().iter().filter(|operation| *operation == "TransactWriteItems").count();
    assert_eq!(pages, 2, "what was in is not written again");
    assert_eq!(transactions(&wallets, &wallet).await.len(), 250);
}

#[tokio::test]
async fn what_there_is_no_time_for_comes_with_the_next_request() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let file = deposits(0, 250);
    let wallet = id(&import(&wallets, "", &deposits(0, 5)).await);
    // The platform's own seam: a request that begins with so little left stores nothing more.
    let tenant = Tenant::parse("acme").unwrap();
    let read_file = wallets::imports::read(file.as_bytes(), None, None).unwrap();
    let target = Target::Into(WalletId::parse(&wallet).unwrap(), None);
    let store = wallets::Wallets::new(&app.platform).integrations;
    let reservation = app.platform.ids.reserve();
    let late = store.import(&tenant, &reservation, target, None, &read_file);
    let outcome = shared::deadline::within(Duration::from_secs(1), late).await;
    let Err(ApiError::Conflict { detail, retry_after, existing }) = outcome else { panic!("{outcome:?}") };
    assert!(detail.starts_with("Time ran out: 0 of the file's 250 records are in."), "{detail}");
    assert_eq!((retry_after, existing.as_deref()), (Some(Duration::from_secs(1)), Some(wallet.as_str())));
    assert_eq!(read(&wallets, &wallet).await["status"], "ONGOING");
    let report = self::import(&wallets, &format!("?walletId={wallet}"), &file).await;
    assert_eq!((counts(&report), &report["integration"]["totalTransactions"]), ([245, 5, 0, 0], &json!(250)));
}

/// A stack on which a file is about to be imported: as a new integration, or into one that has half of it.
struct Scene {
    app: TestApp,
    query: String,
}

/// More than fit into one transaction of the table.
const RECORDS: usize = 110;

impl Scene {
    async fn set(into: bool) -> Self {
        let app = TestApp::start().await;
        let mut query = String::new();
        if into {
            query = format!("?walletId={}", id(&import(&app.wallets(), "", &deposits(0, 5)).await));
        }
        app.proxy.forget_calls();
        Self { app, query }
    }

    /// Imports the file; the report, if it was answered with success.
    async fn run(&self) -> Option<Value> {
        let wallets = self.app.wallets().header("idempotency-key", "one");
        let answer = send(&wallets, &self.query, deposits(0, RECORDS)).await;
        assert!(answer.status == 201 || answer.status == 500, "{}", answer.text);
        (answer.status == 201).then(|| answer.json())
    }

    /// There is one integration, with every record once.
    async fn check(&self, report: &Value, into: bool) {
        let before = if into { 5 } else { 0 };
        assert_eq!(counts(report), [(RECORDS - before) as u64, before as u64, 0, 0], "{report}");
        let wallets = self.app.wallets();
        let list = wallets.get("/v1/integrations").await.expect(200);
        assert_eq!((&list["pagination"]["totalCount"], list["data"].as_array().unwrap().len()), (&json!(1), 1));
        let row = &list["data"][0];
        assert_eq!((&row["status"], &row["totalTransactions"]), (&json!("COMPLETED"), &json!(RECORDS)));
        assert_eq!(transactions(&wallets, row["walletId"].as_str().unwrap()).await.len(), RECORDS);
    }
}

async fn struck(into: bool, step: usize, fault: Fault, always: bool) {
    let scene = Scene::set(into).await;
    let injected = scene.app.proxy.inject(fault).at_step(step);
    let injected = if always { injected.always() } else { injected };
    let first = scene.run().await;
    assert!(injected.strikes() > 0, "the fault struck nothing");
    scene.app.proxy.clear();
    scene.app.advance(A_WHILE);
    if always {
        // The job may come first.
        let _ = tick(&scene.app).await;
    }
    let again = scene.run().await.unwrap();
    scene.check(&again, into).await;
    if let Some(first) = first {
        assert_eq!(counts(&first), counts(&again));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_wherever_a_repeated_import_ends_as_it_should() {
    let mut cases = Vec::new();
    for into in [false, true] {
        let scene = Scene::set(into).await;
        let report = scene.run().await.unwrap();
        scene.check(&report, into).await;
        let steps = Scene::set(into).await;
        let _ = steps.run().await;
        let steps = steps.app.proxy.operations();
        for step in 1..=steps.len() {
            for (name, fault) in [("error", Fault::ServerError), ("lost", Fault::LoseAnswer)] {
                for always in [false, true] {
                    let what = format!("into {into}, step {step} ({}), {name}, always {always}", steps[step - 1]);
                    cases.push((what, struck(into, step, fault.clone(), always)));
                }
            }
        }
    }
    let total = cases.len();
    let outcomes = futures::stream::iter(cases).map(|(what, case)| async move { (what, tokio::spawn(case).await) });
    let outcomes: Vec<_> = outcomes.buffer_unordered(12).collect().await;
    let broken: Vec<String> =
        outcomes.into_iter().filter(|(_, outcome)| outcome.is_err()).map(|(what, _)| what).collect();
    assert!(broken.is_empty(), "{} of {total} cases:\n{}", broken.len(), broken.join("\n"));
}
