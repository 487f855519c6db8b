//! The services group's list: what its first page costs, and how long it takes, for a tenant with 25 integrations and one
//! with 10,000, beside a bare Query of the same items in the same run.
//!
//! `cargo run --release -p causeway-benches --bin bench-services`

#![expect(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that prints")]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures::future::join_all;
use kit::{Client, TestApp};
use serde_json::json;

const CLIENTS: usize = 8;
const REQUESTS: usize = 2_000;

#[tokio::main]
async fn main() {
    println!("GET /api/integrations, first page of 25, {CLIENTS} clients, {REQUESTS} requests each size\n");
    println!("{:<26}{:>10}{:>12}{:>10}{:>10}{:>12}", "", "calls", "read units", "p50 ms", "p99 ms", "requests/s");
    for total in [25, 10_000] {
        let app = TestApp::start().await;
        fill(&app, total).await;
        let services = app.services();
        let path = "/api/integrations?limit=25";
        let first = services.get(path).await.expect(200);
        assert_eq!(first["data"].as_array().unwrap().len(), 25);
        app.proxy.forget_calls();
        let _ = services.get(path).await.expect(200);
        let (calls, units) = (app.proxy.operations(), app.proxy.consumed());
        let (times, took) = at_once(|| get(services.clone(), path)).await;
        print(&format!("list, {total} integrations"), &calls.join("+"), units, times, took);

        let (times, took) = at_once(|| bare_query(&app)).await;
        print(&format!("bare Query, {total}"), "Query", units, times, took);
    }
}

async fn get(services: Client, path: &str) {
    let _ = services.get(path).await.expect(200);
}

async fn bare_query(app: &TestApp) {
    let query = app.platform.table.client().query().table_name("causeway").consistent_read(true).limit(26);
    let query = query.key_condition_expression("pk = :p AND begins_with(sk, :s)");
    let query = query.expression_attribute_values(":p", AttributeValue::S("T#acme#services".into()));
    let output = query.expression_attribute_values(":s", AttributeValue::S("I#".into())).send().await.unwrap();
    assert!(output.count() >= 25);
}

/// Runs `request` from several clients at once; the time of each, and of all.
async fn at_once<F: Future<Output = ()>>(request: impl Fn() -> F) -> (Vec<Duration>, Duration) {
    let started = Instant::now();
    let client = || async {
        let mut times = Vec::with_capacity(REQUESTS / CLIENTS);
        for _ in 0..REQUESTS / CLIENTS {
            let started = Instant::now();
            request().await;
            times.push(started.elapsed());
        }
        times
    };
    let times = join_all((0..CLIENTS).map(|_| client())).await.into_iter().flatten().collect();
    (times, started.elapsed())
}

fn print(what: &str, calls: &str, units: f64, mut times: Vec<Duration>, took: Duration) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1_000.0;
    let rate = times.len() as f64 / took.as_secs_f64();
    println!("{what:<26}{calls:>10}{units:>12.1}{:>10.2}{:>10.2}{rate:>12.0}", at(50), at(99));
}

/// Creates one integration over HTTP and copies its item.
async fn fill(app: &TestApp, total: usize) {
    let config = json!({ "apiKey": "re_benchmark_benchmark", "fromEmail": "ops@example.com" });
    let body = json!({ "name": "A mail account of the operations team", "type": "resend", "config": config });
    let created = app.services().post("/api/integrations", &body).await;
    let id = created.str("/id");
    let key = |name: &str, value: String| (name.to_owned(), AttributeValue::S(value));
    let read = app.table.get_item().table_name("causeway");
    let read = read.set_key(Some(HashMap::from([key("pk", "T#acme#services".into()), key("sk", format!("I#{id}"))])));
    let item = read.send().await.unwrap().item.unwrap();
    let copies: Vec<WriteRequest> = (1..total)
        .map(|number| {
            let id = format!("{}{number:012}", &id[..13]);
            let mut item = item.clone();
            item.extend([key("sk", format!("I#{id}")), key("kind_order", format!("resend#{id}")), key("id", id)]);
            WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build().unwrap()).build()
        })
        .collect();
    for batch in copies.chunks(25) {
        let write = app.table.batch_write_item().request_items("causeway", batch.to_vec());
        write.send().await.unwrap();
    }
}
