//! The vaults group: how many calls a push of 1, 100 and 1,000 secrets asks of each platform when they are new, changed and
//! unchanged, how long a push takes beside what its calls take from a platform that needs 50 ms for each, and how long it
//! takes to plan 10,000 secrets.
//!
//! `cargo run --release -p causeway-benches --bin bench-vaults -- [sizes=1,100,1000] [latency=50] [planned=10000]`

#![expect(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that prints")]

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use fakes::platforms::Reach;
use fakes::platforms::heroku::HerokuToken;
use fakes::platforms::netlify::NetlifyToken;
use fakes::platforms::railway::RailwayReach;
use fakes::platforms::render::RenderKey;
use fakes::platforms::vercel::VercelToken;
use fakes::{Fakes, Fault, Host};
use kit::TestApp;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use shared::auth::Tenant;
use vaults::Vaults;
use vaults::model::fingerprint::Fingerprints;
use vaults::model::plan::{self, Deletions, Ledger, Side};
use vaults::model::{Direction, EnvironmentName, Run, Target, VaultName};
use vaults::sync::Ask;

const TOKEN: &str = "a-token-of-the-benchmark";
/// What GitHub and Supabase take at most.
const CAPPED: usize = 100;

/// A platform with an empty project.
struct Platform {
    provider: &'static str,
    project: &'static str,
    most: usize,
    host: fn(&Fakes) -> Host,
    prepare: fn(&Fakes),
}

const PLATFORMS: [Platform; 9] = [
    Platform {
        provider: "vercel",
        project: "prj_bench",
        most: usize::MAX,
        host: |fakes| fakes.vercel.host.clone(),
        prepare: |fakes| {
            fakes.vercel.add_project("prj_bench", "bench", "team_sandbox");
            let teams = vec!["team_sandbox".into()];
            fakes.vercel.add_token(TOKEN, VercelToken { user: "user".into(), teams, ..VercelToken::default() });
        },
    },
    Platform {
        provider: "railway",
        project: "prj_sandbox",
        most: usize::MAX,
        host: |fakes| fakes.railway.host.clone(),
        prepare: |fakes| fakes.railway.add_token(TOKEN, RailwayReach::Workspace("ws_sandbox".into())),
    },
    Platform {
        provider: "netlify",
        project: "site_sandbox",
        most: usize::MAX,
        host: |fakes| fakes.netlify.host.clone(),
        prepare: |fakes| {
            let accounts = vec!["acc_sandbox".into()];
            fakes.netlify.add_token(TOKEN, NetlifyToken { user: "user".into(), accounts, read_only: false });
        },
    },
    Platform {
        provider: "fly",
        project: "bench",
        most: usize::MAX,
        host: |fakes| fakes.fly.host.clone(),
        prepare: |fakes| {
            fakes.fly.add_organisation("sandbox", "Sandbox");
            fakes.fly.add_app("bench", "sandbox");
            fakes.fly.add_token(TOKEN, Reach::of("user", &["sandbox"]));
        },
    },
    Platform {
        provider: "cloudflare",
        project: "bench",
        most: usize::MAX,
        host: |fakes| fakes.cloudflare.host.clone(),
        prepare: |fakes| {
            fakes.cloudflare.add_account("0123456789abcdef0123456789abcdef", "Sandbox");
            fakes.cloudflare.add_worker("0123456789abcdef0123456789abcdef", "bench");
            fakes.cloudflare.add_token(TOKEN, Reach::of("user", &["0123456789abcdef0123456789abcdef"]));
        },
    },
    Platform {
        provider: "github",
        project: "acme/bench",
        most: CAPPED,
        host: |fakes| fakes.github.host.clone(),
        prepare: |fakes| {
            fakes.github.add_repository("acme", "bench", &["production"]);
            fakes.github.add_token(TOKEN, Reach::of("acme", &["acme"]));
        },
    },
    Platform {
        provider: "render",
        project: "srv-bench",
        most: usize::MAX,
        host: |fakes| fakes.render.host.clone(),
        prepare: |fakes| {
            fakes.render.add_owner("tea-bench", "Sandbox");
            fakes.render.add_service("srv-bench", "bench", "tea-bench", None);
            fakes.render.add_key(TOKEN, RenderKey { owners: vec!["tea-bench".into()], read_only: false });
        },
    },
    Platform {
        provider: "heroku",
        project: "app_sandbox",
        most: usize::MAX,
        host: |fakes| fakes.heroku.host.clone(),
        prepare: |fakes| {
            fakes.heroku.add_token(TOKEN, HerokuToken { user: "user_sandbox".into(), read_only: false });
        },
    },
    Platform {
        provider: "supabase",
        project: "abcdefghijklmnopqrst",
        most: CAPPED,
        host: |fakes| fakes.supabase.host.clone(),
        prepare: |fakes| {
            fakes.supabase.add_organisation("org_bench", "Sandbox");
            fakes.supabase.add_project("abcdefghijklmnopqrst", "bench", "org_bench");
            fakes.supabase.add_token(TOKEN, Reach::of("user", &["org_bench"]));
        },
    },
];

/// A platform that is connected, with a vault.
struct Bench {
    app: TestApp,
    vaults: Vaults,
    host: Host,
    target: Target,
}

impl Bench {
    async fn of(platform: &Platform) -> Self {
        let app = TestApp::start().await;
        (platform.prepare)(&app.fakes);
        let path = format!("/v1/integrations/{}/connect", platform.provider);
        let mut body = json!({ "token": TOKEN });
        if platform.provider == "vercel" {
            // The token reaches the user's own account too.
            body["account"] = json!("team_sandbox");
        }
        let connected = app.vaults().post(&path, &body).await;
        let _ = connected.expect(201);
        let target = Target {
            vault: VaultName::parse("acme", "bench").unwrap(),
            environment: EnvironmentName::parse("production").unwrap(),
            connection_id: connected.str("/data/id").parse().unwrap(),
            project_id: platform.project.into(),
            provider_environment: "production".into(),
        };
        let (vaults, host) = (Vaults::new(&app.platform), (platform.host)(&app.fakes));
        Self { app, vaults, host, target }
    }

    async fn fill(&self, size: usize, value: &str) {
        let secrets: Map<String, Value> =
            (0..size).map(|number| (format!("SECRET_{number:04}"), json!(format!("{value} {number}")))).collect();
        let path = "/v1/vaults/acme/bench/environments/production/secrets";
        let _ = self.app.vaults().put(path, &Value::Object(secrets)).await.expect(200);
    }

    /// Pushes; gives how many calls read, how many wrote, how long it took, and the run.
    async fn push(&self) -> (usize, usize, Duration, Run) {
        self.host.forget_requests();
        let ask = Ask {
            target: self.target.clone(),
            direction: Direction::Push,
            delete: None,
            by: "the benchmark".into(),
            automatic: false,
        };
        let started = Instant::now();
        let run = self.vaults.sync(&Tenant::parse("acme").unwrap(), &ask).await.unwrap();
        let took = started.elapsed();
        let requests = self.host.requests();
        let is_read = |body: &str| body.contains("\"query\"") && !body.contains("mutation");
        let reads = requests
            .iter()
            .filter(|request| request.method == "GET" || is_read(&String::from_utf8_lossy(&request.body)))
            .count();
        (reads, requests.len() - reads, took, run)
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = |name: &str, default: &str| {
        let value = arguments.iter().find_map(|one| one.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or(default).to_owned()
    };
    let sizes: Vec<usize> = given("sizes", "1,100,1000").split(',').map(|size| size.parse().unwrap()).collect();
    let latency = Duration::from_millis(given("latency", "50").parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!("calls of a push to the platform: those that read + those that write\n");
        println!("{:<14}{:>10}{:>14}{:>14}{:>14}", "", "secrets", "new", "changed", "unchanged");
        for platform in &PLATFORMS {
            for size in sizes.iter().filter(|size| **size <= platform.most) {
                calls(platform, *size).await;
            }
        }
        let most = sizes.iter().copied().max().unwrap_or(1);
        println!("\na push of new secrets, {} ms for each of the platform's answers\n", latency.as_millis());
        println!("{:<14}{:>10}{:>10}{:>12}{:>10}{:>10}", "", "secrets", "calls", "ideal s", "took s", "ratio");
        for platform in &PLATFORMS {
            duration(platform, most.min(platform.most), latency).await;
        }
    });
    planning(given("planned", "10000").parse().unwrap());
}

async fn calls(platform: &Platform, size: usize) {
    let bench = Bench::of(platform).await;
    let mut shown = Vec::new();
    for (value, written) in [("first", size), ("second", size), ("second", 0)] {
        bench.fill(size, value).await;
        let (reads, writes, _, run) = bench.push().await;
        assert_eq!(run.created + run.updated, written, "{}: {run:?}", platform.provider);
        shown.push(format!("{reads} + {writes}"));
    }
    println!("{:<14}{size:>10}{:>14}{:>14}{:>14}", platform.provider, shown[0], shown[1], shown[2]);
}

async fn duration(platform: &Platform, size: usize, latency: Duration) {
    let bench = Bench::of(platform).await;
    bench.fill(size, "first").await;
    bench.host.faults().all(Fault::Delay(latency));
    let (reads, writes, took, run) = bench.push().await;
    assert_eq!(run.created, size, "{}: {run:?}", platform.provider);
    let calls = reads + writes;
    let ideal = latency.as_secs_f64() * f64::from(u32::try_from(calls).unwrap());
    let took = took.as_secs_f64();
    println!("{:<14}{size:>10}{calls:>10}{ideal:>12.2}{took:>10.2}{:>9.2}x", platform.provider, took / ideal);
}

/// How long the planner takes, once both sides are read: half of the names differ.
fn planning(count: usize) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"a key of the benchmark");
    let fingerprints = Fingerprints::new(&key, &["acme", "bench"]);
    let side = |differs: bool| Side {
        values: (0..count)
            .map(|number| {
                let value = if differs && number % 2 == 0 { "another" } else { "value" };
                let name = format!("SECRET_{number:05}");
                let known = plan::Value::Known(fingerprints.of(&name, &SecretString::from(value)));
                (name, known)
            })
            .collect(),
        hides_names: false,
    };
    let started = Instant::now();
    let (source, target) = (side(false), side(true));
    let fingerprinted = started.elapsed();
    let mut times: Vec<Duration> = (0..30)
        .map(|_| {
            let started = Instant::now();
            let plan =
                plan::plan(&source, &target, &Ledger::new(), Deletions::All, &|name| name.starts_with("VERCEL_"));
            assert_eq!(plan.to_update.len(), count.div_ceil(2));
            started.elapsed()
        })
        .collect();
    times.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!(
        "\nplanning {count} secrets: p50 {:.2} ms, most {:.2} ms (aim: under 50 ms); the fingerprints of both sides before it: {:.1} ms",
        milliseconds(times[15]),
        milliseconds(times[29]),
        milliseconds(fingerprinted)
    );
}
