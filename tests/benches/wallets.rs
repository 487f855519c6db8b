//! The wallets group: what a first page, a tenth page and a search cost at 25, 1,000 and 10,000 integrations, how much of
//! the processor a search takes, and how fast and in how much memory a history of 100,000 transactions comes in from a
//! provider that takes 50 ms to answer.
//!
//! `cargo run --release -p causeway-benches --bin bench-wallets -- [sizes=25,1000,10000] [searched=10000]
//! [transactions=100000] [latency=50]`
//!
//! The history is brought in by a process of its own, so that its memory is the function's and not that of the emulator
//! and the fake. The provider is asked for one page after the other, so no sync can be faster than its calls take.

#![expect(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that prints")]

use std::collections::{BTreeMap, HashMap};
use std::process::Command;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use fakes::Fault;
use fakes::esplora::Esplora;
use kit::TestApp;
use local::emulators::{Data, DataFolder, Emulators};
use local::secrets_manager::Options;
use local::stack::scheduled_event;
use local::template::Template;
use serde_json::{Value, json};
use shared::Platform;
use shared::auth::Tenant;
use shared::clock::Ids;
use shared::config::{AwsConfig, EgressConfig};
use shared::egress::{Egress, Upstream};
use url::Url;
use wallets::Wallets;
use wallets::model::{Search, Slim, Tempo, WalletId};
use wallets::providers::{Checked, Given};
use wallets::store::NewIntegration;

const ADDRESS: &str = "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu";
const TENANT: &str = "acme";
/// Esplora's.
const PAGE: usize = 25;
const REQUESTS: usize = 30;
const LAMBDA: Duration = Duration::from_secs(900);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "worker") {
        // As the function's own main does.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(work(&arguments[1..]));
    }
    let given = |name: &str, default: &str| {
        let value = arguments.iter().find_map(|one| one.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or(default).to_owned()
    };
    let number = |name: &str, default: &str| given(name, default).parse::<usize>().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sizes: Vec<usize> = given("sizes", "25,1000,10000").split(',').map(|size| size.parse().unwrap()).collect();
        println!("GET /v1/integrations, 25 a page, {REQUESTS} requests each; emulator and proxy are in the times\n");
        println!("{:<34}{:>34}{:>12}{:>10}{:>10}", "", "calls", "read units", "p50 ms", "max ms");
        for size in sizes {
            reads(size).await;
        }
        search(number("searched", "10000")).await;
        page_of_a_sync().await;
        let (transactions, latency) = (number("transactions", "100000"), number("latency", "50"));
        println!("\nwallets-sync, one Bitcoin address\n");
        println!(
            "{:<34}{:>8}{:>10}{:>10}{:>12}{:>10}{:>10}{:>10}",
            "", "calls", "ideal s", "took s", "stored/s", "ratio", "CPU s", "peak MB"
        );
        sync(transactions.div_ceil(10), 0).await;
        sync(transactions, latency).await;
    });
}

/// What pages and searches of so many integrations cost.
async fn reads(total: usize) {
    let app = TestApp::start().await;
    fill(&app, total).await;
    let wallets = app.wallets();
    let last = format!("searchedKey=savings%20{:05}", total - 1);
    for (what, query) in [("first page", "page=1"), ("tenth page", "page=10"), ("search", last.as_str())] {
        let path = format!("/v1/integrations?pageSize=25&{query}");
        let list = wallets.get(&path).await.expect(200);
        assert!(what == "tenth page" || !list["data"].as_array().unwrap().is_empty(), "{list}");
        app.proxy.forget_calls();
        let _ = wallets.get(&path).await.expect(200);
        let (calls, units) = (tally(app.proxy.operations()), app.proxy.consumed());
        let mut times = Vec::with_capacity(REQUESTS);
        for _ in 0..REQUESTS {
            let started = Instant::now();
            let _ = wallets.get(&path).await.expect(200);
            times.push(started.elapsed());
            app.proxy.forget_calls();
        }
        let (p50, most) = (middle(&mut times), times[times.len() - 1]);
        let name = format!("{what}, {total} integrations");
        println!("{name:<34}{calls:>34}{units:>12.1}{:>10.2}{:>10.2}", milliseconds(p50), milliseconds(most));
    }
}

/// Creates one integration over HTTP and copies its item.
async fn fill(app: &TestApp, total: usize) {
    let body = json!({ "provider": "bitcoin", "address": ADDRESS, "alias": "Savings 00000" });
    let id = app.wallets().post("/v1/integrations", &body).await.str("/walletId");
    let text = |text: String| AttributeValue::S(text);
    let partition = text(format!("T#{TENANT}#wallets"));
    let get = app.table.get_item().table_name("causeway").key("pk", partition.clone());
    let item: HashMap<_, _> = get.key("sk", text(format!("I#{id}"))).send().await.unwrap().item.unwrap();
    let copies: Vec<WriteRequest> = (1..total)
        .map(|number| {
            let id = format!("{}{number:012}", &id[..13]);
            let mut item = item.clone();
            item.insert("sk".into(), text(format!("I#{id}")));
            item.insert("slim_order".into(), text(id.clone()));
            item.insert("wallet_id".into(), text(id));
            item.insert("alias".into(), text(format!("Savings {number:05}")));
            WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build().unwrap()).build()
        })
        .collect();
    for batch in copies.chunks(25) {
        app.table.batch_write_item().request_items("causeway", batch.to_vec()).send().await.unwrap();
    }
    let count = app.table.update_item().table_name("causeway").key("pk", partition).key("sk", text("COUNT".into()));
    let count = count.update_expression("ADD #count :more").expression_attribute_names("#count", "count");
    let more = AttributeValue::N((total - 1).to_string());
    count.expression_attribute_values(":more", more).send().await.unwrap();
}

/// How much of the processor a search among so many takes, once they have been read.
async fn search(total: usize) {
    let app = TestApp::start().await;
    fill(&app, total).await;
    let tenant = Tenant::parse(TENANT).unwrap();
    let all: Vec<Slim> = Wallets::new(&app.platform).integrations.slim(&tenant, usize::MAX).await.unwrap().records;
    println!(
        "\n{:<34}{:>10}{:>10}{:>10}   aim: under 30 ms",
        format!("search among {total}"),
        "found",
        "p50 ms",
        "max ms"
    );
    for searched in ["savings", "00017", "svgs", "savnigs", "bitcoin 0001", "bc1qcr8t…06fyu", "nothing like it"] {
        let mut found = 0;
        let mut times: Vec<Duration> = (0..REQUESTS)
            .map(|_| {
                let all = all.clone();
                let started = Instant::now();
                found = Search::of(searched).unwrap().among(all).len();
                started.elapsed()
            })
            .collect();
        let (p50, most) = (middle(&mut times), times[times.len() - 1]);
        println!("{searched:<34}{found:>10}{:>10.2}{:>10.2}", milliseconds(p50), milliseconds(most));
    }
}

/// What a page of a sync asks of the table.
async fn page_of_a_sync() {
    const PAGES: usize = 10;
    let app = TestApp::start().await;
    let mut before = BTreeMap::new();
    // What a sync costs without any page is taken off.
    for transactions in [0, PAGES * PAGE] {
        let address = if transactions == 0 { "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g" } else { ADDRESS };
        app.fakes.esplora.receive_many(address, transactions);
        let body = json!({ "provider": "bitcoin", "address": address });
        let _ = app.wallets().post("/v1/integrations", &body).await.expect(201);
        app.proxy.forget_calls();
        let _ = app.deliver_stream().await;
        let mut costs: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for call in app.proxy.calls() {
            let cost = costs.entry(call.operation.clone()).or_default();
            *cost = (cost.0 + 1.0, cost.1 + call.consumed());
        }
        if transactions == 0 {
            before = costs;
            continue;
        }
        println!("\n{:<34}{:>10}{:>12}", format!("a page of {PAGE} being stored"), "calls", "units");
        for (operation, (calls, units)) in costs {
            let (less, off) = before.get(&operation).copied().unwrap_or_default();
            let each = |number: f64| number / PAGES as f64;
            println!("{operation:<34}{:>10.2}{:>12.2}", each(calls - less), each(units - off));
        }
    }
}

/// Brings a history of so many transactions in, from a provider that takes so long.
async fn sync(transactions: usize, latency: usize) {
    // In a folder the emulator forgets what it has streamed; in memory each write would look through all of it.
    let folder = tempfile::tempdir().unwrap();
    let data = Data::Folder(DataFolder::open(folder.path(), true).unwrap());
    let template = Template::embedded().unwrap();
    let emulators = Emulators::start(&template, "causeway", data, Options::default()).await.unwrap();
    let esplora = Esplora::start().await.unwrap();
    esplora.receive_many(ADDRESS, transactions);
    let latency = Duration::from_millis(latency as u64);
    if latency > Duration::ZERO {
        esplora.host.faults().all(Fault::Delay(latency));
    }
    let places = [emulators.dynamodb.to_string(), emulators.secrets_manager.to_string(), esplora.host.origin()];
    let id = connect(&platform(&places)).await;
    let mut worker = Command::new(std::env::current_exe().unwrap());
    worker.arg("worker").args(places).arg(id.as_str()).stderr(std::process::Stdio::inherit());
    let output = tokio::task::spawn_blocking(move || worker.output()).await.unwrap().unwrap();
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&done["status"], &done["stored"]), (&json!("COMPLETED"), &json!(transactions)), "{done}");
    // The number of transactions, full pages, and the last, which has fewer than ten.
    let calls = 1 + transactions / PAGE + 1 + usize::from(transactions % PAGE >= 10);
    let (ideal, took) = (latency.as_secs_f64() * calls as f64, done["seconds"].as_f64().unwrap());
    let ratio = if ideal > 0.0 { format!("{:.2}x", took / ideal) } else { "-".into() };
    println!(
        "{:<34}{calls:>8}{ideal:>10.1}{took:>10.1}{:>12.0}{ratio:>10}{:>10.1}{:>10.1}",
        format!("{transactions} transactions, {} ms", latency.as_millis()),
        transactions as f64 / took,
        done["processor"].as_f64().unwrap(),
        done["peak"].as_f64().unwrap()
    );
}

/// A platform over emulators and a fake: DynamoDB's and Secrets Manager's addresses, and Esplora's origin.
fn platform(places: &[String]) -> Platform {
    let aws = AwsConfig::emulated(places[0].parse().unwrap(), places[1].parse().unwrap());
    let endpoints = [(Upstream::Esplora, Url::parse(&places[2]).unwrap())].into_iter().collect();
    Platform::with_egress(&aws, Egress::new(EgressConfig { endpoints, ..EgressConfig::default() }), Ids::default())
}

async fn connect(platform: &Platform) -> WalletId {
    let entry = wallets::providers::entry("bitcoin").unwrap();
    let given = Given { address: Some(ADDRESS.into()), ..Given::default() };
    let (source, account) = entry.read(given).unwrap();
    let new = NewIntegration {
        entry,
        source: source.name(),
        account,
        alias: None,
        account_name: None,
        checked: Checked::default(),
        tempo: Tempo::default(),
    };
    let tenant = Tenant::parse(TENANT).unwrap();
    let integrations = Wallets::new(platform).integrations;
    integrations.create(&tenant, &platform.ids.reserve(), new).await.unwrap().wallet_id
}

/// The function in a process of its own: runs as the schedule would start it until the history is in, and says how that
/// went.
async fn work(arguments: &[String]) {
    let platform = platform(arguments);
    let (tenant, id) = (Tenant::parse(TENANT).unwrap(), WalletId::parse(&arguments[3]).unwrap());
    let functions: HashMap<_, _> = wallets::functions(&platform).into_iter().collect();
    let integrations = Wallets::new(&platform).integrations;
    let started = Instant::now();
    let integration = loop {
        functions["wallets-sync"].invoke(scheduled_event(&platform), LAMBDA).await.unwrap();
        let integration = integrations.read(&tenant, &id).await.unwrap();
        if integration.sync.leased_until.is_none() && integration.last_synced_at.is_some() {
            break integration;
        }
        assert_eq!(integration.message, None);
    };
    let done = json!({
        "status": integration.status,
        "stored": integration.total_transactions,
        "seconds": started.elapsed().as_secs_f64(),
        "processor": processor_seconds(),
        "peak": peak_megabytes(),
    });
    println!("{done}");
}

/// The most memory that this process had at any time (VmHWM).
fn peak_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1_024.0
}

/// What this process has used of the processor: user and system time, in hundredths of a second.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The process's name, which may hold spaces, ends with the last bracket.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// The median; the times are sorted then.
fn middle(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// `GetItem, 3 Query`.
fn tally(operations: Vec<String>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for operation in operations {
        *counts.entry(operation).or_default() += 1;
    }
    let one = |(operation, count): (String, usize)| if count == 1 { operation } else { format!("{count} {operation}") };
    counts.into_iter().map(one).collect::<Vec<_>>().join(", ")
}
