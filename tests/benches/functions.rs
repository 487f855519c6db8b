//! The functions' real binaries, as Lambda runs them: cold start, first, second and warm answers, memory and size, beside a
//! bare lambda_http function and beside the same list in Python (boto3) and Node (AWS SDK v3), all on one double of the
//! Runtime API and one DynamoDB, in one run.
//!
//! `tests/benches/run` builds and fetches what this needs and runs it. By hand:
//! `bench-functions <folder of release binaries> [<python> <node> <list.mjs, bundled>]`
//!
//! Every start is a new process with a new Runtime API. DynamoDB is the embedded one behind the recording proxy, which adds
//! the same to everyone's times; over TLS, behind a terminator with a certificate of its own.

#![expect(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that prints")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use kit::TestApp;
use kit::runtime_api::{FunctionProcess, RuntimeApi};
use kit::tls::Tls;
use serde_json::{Value, json};

const STARTS: usize = 21;
const SLOW_STARTS: usize = 11;
const WARM: usize = 600;
const INTEGRATIONS: usize = 25;
const DEADLINE: Duration = Duration::from_secs(29);
const FUNCTIONS: [(&str, &str); 9] = [
    ("wallets-api", "/v1/integrations"),
    ("services-api", "/api/integrations"),
    ("keys-api", "/api/v1/integrations"),
    ("vaults-api", "/v1/integrations/connections"),
    ("wallets-sync", ""),
    ("services-check", ""),
    ("keys-monitor", ""),
    ("vaults-sync", ""),
    ("sweep", ""),
];

/// What is started: a command with its variables.
struct Function {
    command: Vec<PathBuf>,
    variables: Vec<(String, String)>,
}

/// What one start showed, in milliseconds and MB.
#[derive(Default)]
struct Start {
    next: f64,
    first: f64,
    second: f64,
    warm: Vec<f64>,
    memory: f64,
    last: Value,
}

#[tokio::main]
async fn main() {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let binaries = arguments.first().expect_folder();
    let app = TestApp::start().await;
    app.clock.set(jiff::Timestamp::now());
    for number in 0..INTEGRATIONS {
        let config = json!({ "apiKey": "re_benchmark_benchmark", "fromEmail": "ops@example.com" });
        let body = json!({ "name": format!("Mail account {number}"), "type": "resend", "config": config });
        let _ = app.services().post("/api/integrations", &body).await.expect(201);
    }
    let tls = Tls::start(app.proxy.address()).await.unwrap();

    println!("{STARTS} starts each, medians. Memory is the highest resident set after the first answers.\n");
    println!("{:<16}{:>8}{:>14}{:>8}{:>10}", "function", "MB", "to next, ms", "x bare", "RSS MB");
    let bare = starts(&app, &Function::of(binaries.join("bare")), None, STARTS).await;
    row("bare", size(&binaries.join("bare")), &bare, &bare);
    for (name, _) in FUNCTIONS {
        let function = Function::of(binaries.join(name));
        let event = (name == "services-api").then(|| event(&app, "/api/integrations"));
        let measured = starts(&app, &function, event, STARTS).await;
        row(name, size(&binaries.join(name)), &measured, &bare);
    }

    println!("\nfirst and second answer of a list, AWS over TLS, ms\n");
    println!("{:<16}{:>10}{:>10}{:>12}", "function", "first", "second", "difference");
    for (name, path) in FUNCTIONS.iter().filter(|(_, path)| !path.is_empty()) {
        let function = Function::of(binaries.join(name)).with(variables(&tls));
        let measured = starts(&app, &function, Some(event(&app, path)), STARTS).await;
        let (first, second) = (median(&measured, |start| start.first), median(&measured, |start| start.second));
        println!("{name:<16}{first:>10.2}{second:>10.2}{:>12.2}", first - second);
    }

    println!("\nGET /api/integrations, {INTEGRATIONS} integrations: {SLOW_STARTS} starts, then {WARM} warm answers\n");
    println!(
        "{:<16}{:>14}{:>12}{:>12}{:>10}{:>10}{:>10}",
        "", "to next, ms", "first, ms", "cold, ms", "p50 ms", "p99 ms", "RSS MB"
    );
    let mut contenders = vec![("Causeway", Function::of(binaries.join("services-api")))];
    if let [_, python, node, bundle] = arguments.as_slice() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("baselines/list.py");
        contenders.push(("Python", Function { command: vec![python.clone(), folder], variables: Vec::new() }));
        contenders.push(("Node", Function { command: vec![node.clone(), bundle.clone()], variables: Vec::new() }));
    }
    let mut expected = None;
    let mut figures = Vec::new();
    for (name, function) in contenders {
        let measured = compared(&app, &function).await;
        let body: Value = serde_json::from_str(measured.last().unwrap().last["body"].as_str().unwrap()).unwrap();
        // The same answer, or it is no comparison.
        assert_eq!(expected.get_or_insert_with(|| body.clone()), &body, "{name}");
        assert_eq!(body["data"].as_array().unwrap().len(), INTEGRATIONS);
        let mut warm: Vec<f64> = measured.iter().flat_map(|start| start.warm.iter().copied()).collect();
        warm.sort_by(f64::total_cmp);
        let at = |share: usize| warm[(warm.len() - 1) * share / 100];
        let (next, first) = (median(&measured, |start| start.next), median(&measured, |start| start.first));
        let memory = median(&measured, |start| start.memory);
        let cold = next + first;
        println!("{name:<16}{next:>14.1}{first:>12.1}{cold:>12.1}{:>10.2}{:>10.2}{memory:>10.1}", at(50), at(99));
        figures.push((name, cold, at(50), memory));
    }
    if let [ours, others @ ..] = figures.as_slice()
        && !others.is_empty()
    {
        let best = |of: fn(&(&str, f64, f64, f64)) -> f64| others.iter().map(of).fold(f64::INFINITY, f64::min);
        let (cold, warm, memory) = (ours.1 / best(|it| it.1), ours.2 / best(|it| it.2), ours.3 / best(|it| it.3));
        println!("\nCauseway over the better of the two: cold {cold:.2}, warm p50 {warm:.2}, memory {memory:.2}");
    }
}

trait ExpectFolder {
    fn expect_folder(self) -> PathBuf;
}

impl ExpectFolder for Option<&PathBuf> {
    fn expect_folder(self) -> PathBuf {
        let folder = self.filter(|folder| folder.join("bare").exists()).cloned();
        folder.unwrap_or_else(|| {
            println!("usage: bench-functions <folder of release binaries> [<python> <node> <bundled list.mjs>]");
            std::process::exit(2)
        })
    }
}

impl Function {
    fn of(binary: PathBuf) -> Self {
        Self { command: vec![binary], variables: Vec::new() }
    }

    fn with(self, variables: Vec<(String, String)>) -> Self {
        Self { variables, ..self }
    }

    fn command(&self, app: &TestApp, api: &RuntimeApi) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command
            .envs(app.environment(api, "function"))
            .env("CAUSEWAY_LOG", "warn")
            .env("CAUSEWAY_RATE_LIMIT", "0")
            .envs(self.variables.iter().cloned());
        // As in a deployed function, nothing is compiled on the way.
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }
}

/// Starts a function so many times; each start answers the event twice, if there is one.
async fn starts(app: &TestApp, function: &Function, event: Option<Value>, count: usize) -> Vec<Start> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(start(app, function, event.as_ref(), 0).await);
    }
    all
}

async fn compared(app: &TestApp, function: &Function) -> Vec<Start> {
    let event = event(app, "/api/integrations");
    let mut all = Vec::new();
    // The first start reads the files in.
    let _ = start(app, function, Some(&event), 0).await;
    for number in 0..SLOW_STARTS {
        let warm = if number == 0 { WARM } else { 0 };
        all.push(start(app, function, Some(&event), warm).await);
        app.proxy.forget_calls();
    }
    all
}

async fn start(app: &TestApp, function: &Function, event: Option<&Value>, warm: usize) -> Start {
    let api = RuntimeApi::start().await.unwrap();
    let process = FunctionProcess::run(function.command(app, &api), &api).unwrap();
    let asked = api.first_next().await.unwrap();
    let mut start = Start { next: milliseconds(asked - process.started()), ..Start::default() };
    if let Some(event) = event {
        (start.first, start.last) = answer(&api, event).await;
        (start.second, start.last) = answer(&api, event).await;
        for _ in 0..warm {
            let (took, answer) = answer(&api, event).await;
            start.warm.push(took);
            start.last = answer;
        }
    }
    start.memory = highest_resident_set(process.id().unwrap());
    let _ = process.kill().await;
    start
}

async fn answer(api: &RuntimeApi, event: &Value) -> (f64, Value) {
    let started = Instant::now();
    let answer = api.invoke(event.clone(), DEADLINE).await.json().unwrap();
    let took = milliseconds(started.elapsed());
    assert_eq!(answer["statusCode"], 200, "{answer}");
    (took, answer)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn median(starts: &[Start], of: impl Fn(&Start) -> f64) -> f64 {
    let mut figures: Vec<f64> = starts.iter().map(of).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn row(name: &str, size: f64, measured: &[Start], bare: &[Start]) {
    let next = median(measured, |start| start.next);
    let ratio = next / median(bare, |start| start.next);
    let memory = median(measured, |start| start.memory);
    println!("{name:<16}{size:>8.1}{next:>14.2}{ratio:>8.2}{memory:>10.1}");
}

fn size(binary: &Path) -> f64 {
    std::fs::metadata(binary).unwrap().len() as f64 / 1e6
}

/// What the kernel calls `VmHWM`, in MB.
fn highest_resident_set(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() * 1_024.0 / 1e6
}

/// A request for a list, with everything that proves who asks.
fn event(app: &TestApp, path: &str) -> Value {
    let tenant = app.tenant("acme");
    let headers = json!({
        "accept": "application/json",
        "authorization": format!("Bearer {}", tenant.tokens.admin),
        "x-client-id": tenant.client_id,
        "x-client-secret": tenant.client_secret,
        "host": "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com",
    });
    let http = json!({
        "method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "bench",
    });
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "limit=25", "headers": headers,
        "queryStringParameters": { "limit": "25" }, "isBase64Encoded": false,
        "requestContext": {
            "accountId": "123456789012", "apiId": "a1b2c3d4e5", "domainName": "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "a1b2c3d4e5", "http": http, "requestId": "Kx2hYhZrFiAEJ9g=", "routeKey": "$default",
            "stage": "$default", "time": "28/May/2026:20:26:40 +0000", "timeEpoch": 1_780_000_000_000_u64,
        },
    })
}

/// The variables of a function whose AWS is behind this TLS.
fn variables(tls: &Tls) -> Vec<(String, String)> {
    let aws = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SECRETS_MANAGER"];
    aws.map(|name| (name.to_owned(), tls.url())).into_iter().chain([tls.trust()]).collect()
}
