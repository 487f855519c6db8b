//! Acquiring a key: how many a second, how long one takes, and what it costs, at 1, 8 and 64 clients, beside a bare
//! conditional UpdateItem in the same run.
//!
//! `cargo run --release -p causeway-benches --bin bench-keys`
//!
//! With `hot` behind it (`… --bin bench-keys -- hot`): what DynamoDB would count against the busiest partition while pools
//! of several sizes are used at several rates, on a clock that the benchmark moves. It takes 1,000 units of writes and 3,000
//! of reads a second to one.

#![expect(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that prints")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use jiff::SignedDuration;
use kit::fault_proxy::Call;
use kit::{Client, TestApp};
use serde_json::json;

const REQUESTS: usize = 1_920;
const PATH: &str = "/api/v1/integrations";

/// Times of the requests, and of all together.
struct Measured {
    times: Vec<Duration>,
    took: Duration,
}

impl Measured {
    fn rate(&self) -> f64 {
        self.times.len() as f64 / self.took.as_secs_f64()
    }

    fn at(&self, share: usize) -> f64 {
        self.times[(self.times.len() - 1) * share / 100].as_secs_f64() * 1_000.0
    }
}

#[tokio::main]
async fn main() {
    if std::env::args().any(|argument| argument == "hot") {
        hot().await;
    } else {
        speed().await;
    }
}

/// Uses a second of each key.
const RATES: [usize; 5] = [25, 50, 100, 140, 200];
/// How long a slot of nonces lasts: the first fills the items, the second is measured.
const SLOT: usize = 4;
const AT_ONCE: usize = 8;

async fn hot() {
    println!("POST {PATH}/acquire, pools of equal keys, units a second of the busiest partition\n");
    println!(
        "{:>5}{:>14}{:>14}{:>18}{:>14}{:>14}{:>12}",
        "keys", "uses/s, each", "uses/s, pool", "busiest, uses/s", "writes/s", "reads/s", "calls each"
    );
    for keys in [1, 2, 4] {
        for rate in RATES {
            heat(keys, rate).await;
        }
    }
}

/// Uses a pool at an even rate and prints what its busiest partition had to do.
async fn heat(keys: usize, rate: usize) {
    let app = TestApp::start().await;
    fill(&app, keys).await;
    let client = app.keys();
    acquire(&client).await;
    let uses = keys * rate * SLOT;
    let batches = uses / AT_ONCE;
    let step = SignedDuration::from_secs(SLOT as i64) / i32::try_from(batches).unwrap();
    for _ in 0..2 {
        app.proxy.forget_calls();
        for _ in 0..batches {
            app.clock.advance(step);
            join_all((0..AT_ONCE).map(|_| acquire(&client))).await;
        }
    }
    let calls = app.proxy.calls();
    let mut written: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.operation == "UpdateItem") {
        let partition = written.entry(call.request["Key"]["pk"]["S"].to_string()).or_default();
        *partition = (partition.0 + 1, partition.1 + call.consumed());
    }
    let (busiest, writes) = written.values().copied().max_by(|one, other| one.1.total_cmp(&other.1)).unwrap();
    // Every key is read once for each use of the pool, and so is the pool's generation.
    let reads: f64 = calls.iter().filter(|call| call.operation == "BatchGetItem").map(Call::consumed).sum();
    let (second, each) = (SLOT as f64, (keys + 1) as f64);
    println!(
        "{keys:>5}{rate:>14}{:>14}{:>18.0}{:>14.0}{:>14.0}{:>12.2}",
        keys * rate,
        busiest as f64 / second,
        writes / second,
        reads / second / each,
        calls.len() as f64 / (batches * AT_ONCE) as f64,
    );
}

async fn speed() {
    println!("POST {PATH}/acquire, five keys with limits, {REQUESTS} requests each row\n");
    println!(
        "{:<26}{:>9}{:>9}{:>9}{:>12}{:>12}{:>12}",
        "", "p50 ms", "p99 ms", "per s", "calls each", "write units", "read units"
    );
    for clients in [1, 8, 64] {
        let app = TestApp::start().await;
        fill(&app, 5).await;
        let keys = app.keys();
        acquire(&keys).await;
        app.proxy.forget_calls();
        let measured = tokio::select! {
            measured = at_once(clients, || acquire(&keys)) => measured,
            () = run_clock(&app) => return,
        };
        let calls = app.proxy.calls();
        let each = |units: f64| units / REQUESTS as f64;
        let units =
            |operation: &str| calls.iter().filter(|call| call.operation == operation).map(Call::consumed).sum::<f64>();
        let called = format!("{:.2}", each(calls.len() as f64));
        print(
            &format!("acquire, {clients} clients"),
            &measured,
            &called,
            each(units("UpdateItem")),
            each(units("BatchGetItem")),
        );
        app.proxy.forget_calls();

        let bare = at_once(clients, || bare_update(&app)).await;
        let written = each(app.proxy.consumed());
        print(&format!("bare update, {clients} clients"), &bare, "1.00", written, 0.0);
        println!(
            "{:<26}{:>8.2}x{:>8.2}x{:>8.2}x\n",
            "ratio",
            measured.at(50) / bare.at(50),
            measured.at(99) / bare.at(99),
            measured.rate() / bare.rate()
        );
    }
}

async fn fill(app: &TestApp, keys: usize) {
    app.fakes.openai_compatible.add_key("sk-benchmark-0123456789");
    for number in 0..keys {
        let body = json!({
            "provider_name": "bench",
            "key_label": format!("Key {number}"),
            "base_url": app.fakes.openai_compatible.base_url(),
            "credentials": { "api_key": "sk-benchmark-0123456789" },
            "daily_limit": 1_000_000,
            "minute_limit": 100_000,
        });
        let _ = app.keys().post(PATH, &body).await.expect(201);
    }
}

/// The tests' clock stands still; uses of one instant would all be in one slot.
async fn run_clock(app: &TestApp) {
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        app.clock.advance(SignedDuration::from_millis(20));
    }
}

async fn acquire(keys: &Client) {
    let _ = keys.post(&format!("{PATH}/acquire"), &json!({ "provider_name": "bench" })).await.expect(200);
}

async fn bare_update(app: &TestApp) {
    let update = app.platform.table.client().update_item().table_name("causeway");
    let update = update.key("pk", AttributeValue::S("BENCH".into())).key("sk", AttributeValue::S("BENCH".into()));
    let update = update
        .update_expression("ADD uses :one")
        .condition_expression("attribute_not_exists(uses) OR uses < :limit")
        .expression_attribute_values(":one", AttributeValue::N("1".into()))
        .expression_attribute_values(":limit", AttributeValue::N("1000000".into()));
    update.send().await.unwrap();
}

/// Runs `request` from several clients at once.
async fn at_once<F: Future<Output = ()>>(clients: usize, request: impl Fn() -> F) -> Measured {
    let started = Instant::now();
    let client = || async {
        let mut times = Vec::with_capacity(REQUESTS / clients);
        for _ in 0..REQUESTS / clients {
            let started = Instant::now();
            request().await;
            times.push(started.elapsed());
        }
        times
    };
    let mut times: Vec<Duration> = join_all((0..clients).map(|_| client())).await.into_iter().flatten().collect();
    let took = started.elapsed();
    times.sort();
    Measured { times, took }
}

fn print(what: &str, measured: &Measured, calls: &str, written: f64, read: f64) {
    let (p50, p99, rate) = (measured.at(50), measured.at(99), measured.rate());
    println!("{what:<26}{p50:>9.2}{p99:>9.2}{rate:>9.0}{calls:>12}{written:>12.2}{read:>12.2}");
}
