//! The ready message: what it says, and that its lines work when they are pasted.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::process::{Stack, program};

/// An interactive user's shell, as far as a pipe can be one: it takes line by line and expands `!`.
struct Shell {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    const DONE: &str = "--done--";

    /// `None` where there is no bash or no curl: they are not needed to build or to test.
    async fn start() -> Option<Self> {
        let there = crate::process::run({
            let mut look = program("sh");
            look.args(["-c", "command -v bash curl"]);
            look
        });
        if there.await.code != Some(0) {
            return None;
        }
        let mut bash = program("bash");
        bash.args(["--norc", "-s"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = bash.spawn().unwrap();
        let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        input.write_all(b"exec 2>&1; set -o history -o histexpand\n").await.unwrap();
        Some(Self { _child: child, input, output: BufReader::new(output).lines() })
    }

    /// Runs one line. What it wrote to either output, or nothing if it failed.
    async fn paste(&mut self, line: &str) -> Result<Vec<String>, String> {
        self.input.write_all(format!("{line}\necho {}$?\n", Self::DONE).as_bytes()).await.unwrap();
        let mut lines = Vec::new();
        loop {
            let line = self.output.next_line().await.unwrap().unwrap();
            match line.strip_prefix(Self::DONE) {
                Some("0") => return Ok(lines),
                Some(code) => return Err(format!("{code}: {lines:?}")),
                None => lines.push(line),
            }
        }
    }
}

#[tokio::test]
async fn the_message_says_where_everything_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let stack = Stack::start(&data).await;
    let text = stack.ready.join("\n");
    assert!(stack.ready[0].starts_with(&format!("Causeway is ready at {} after ", stack.url())), "{text}");
    assert!(stack.ready[0].ends_with("(sandbox: the outside providers are fakes)."), "{text}");
    assert!(text.contains(&format!("  services  {}/services/api/integrations\n", stack.url())), "{text}");
    assert!(text.contains(&format!("  data      {} (kept; --fresh empties it)\n", data.display())), "{text}");
    assert!(text.contains(&format!("  tokens    {}\n", data.join("dev.json").display())), "{text}");
    assert!(text.contains(&stack.token("acme", "admin")), "{text}");
}

#[tokio::test]
async fn every_printed_line_works_when_it_is_pasted() {
    let Some(mut shell) = Shell::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path()).await;
    let mut shown: Vec<String> = Vec::new();
    for line in stack.lines_to_paste() {
        shown.extend(shell.paste(line).await.unwrap());
    }
    let Some((wallets, rest)) = shown.split_first_chunk() else { panic!("{shown:?}") };
    a_history_comes_in(wallets);
    let Some((exchange, rest)) = rest.split_first_chunk() else { panic!("{shown:?}") };
    an_exchange_comes_in(exchange);
    let Some((file, services)) = rest.split_first_chunk() else { panic!("{shown:?}") };
    a_file_comes_in(file);
    let Some(([created, listed, read, tested, sent, failed, deleted], keys)) = services.split_first_chunk() else {
        panic!("{shown:?}")
    };
    let id = created.strip_prefix("created ").unwrap();
    assert!(id.starts_with("int_") && id.len() == 25, "{created}");
    let json =
        |line: &String| -> Value { serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")) };
    assert_eq!(json(listed)["data"][0]["id"], id);
    assert_eq!(json(listed)["data"][0]["name"], "My Slack");
    let read = json(read);
    assert_eq!(read["id"], id);
    assert!(read["config"]["webhookUrl"].as_str().unwrap().starts_with("https://hooks.slack.com/services/"));
    assert_eq!(json(tested)["status"], "success");
    assert_eq!(json(tested)["message"], "Integration test successful");
    assert_eq!(json(sent), json!({ "status": "success" }));
    let failed = json(failed);
    assert_eq!((&failed["status"], &failed["verdict"]), (&json!("error"), &json!("invalid")));
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("Slack") && message.contains("webhook"), "{message}");
    assert_eq!(json(deleted), json!({ "success": true }));
    let left = stack.services().expect(200, "GET", "", None).await;
    assert_eq!(left, json!({ "data": [] }));
    let Some((keys, vaults)) = keys.split_last_chunk() else { panic!("{shown:?}") };
    the_pool_fails_over_and_heals(keys);
    a_vault_is_synced(vaults);
}

/// What the lines of the vaults group show.
fn a_vault_is_synced(shown: &[String; 20]) {
    let [made, wrote, page, connected, id, projects, status, shown @ .., history, gone] = shown;
    let [plan, pushed, nothing, at_vercel, drift, back, pulled, values, rolled_back, restored, repaired] = shown;
    let json =
        |line: &String| -> Value { serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")) };
    let data = |line: &String| json(line)["data"].clone();
    assert_eq!(data(made), json!({ "owner": "acme", "repo": "app" }));
    assert_eq!(wrote, "wrote version 1");
    let page = page.strip_prefix("To connect in a browser, open this page and choose Allow: ").unwrap();
    assert!(page.starts_with("http://127.0.0.1:"), "{page}");
    assert_eq!(connected, "The Vercel account Sandbox is connected");
    let id = id.strip_prefix("connected ").unwrap();
    assert_eq!(id.len(), 36, "{id}");
    assert_eq!(data(projects)["projects"][0]["name"], "my-app");
    assert_eq!((&data(status)["isFirstSync"], &data(status)["providerSecretCount"]), (&json!(true), &json!(1)));
    let lists = |line: &String| {
        let plan = data(line);
        (plan["toCreate"].clone(), plan["toUpdate"].clone(), plan["toSkip"].clone())
    };
    let both = json!(["API_KEY", "DATABASE_URL"]);
    assert_eq!(lists(plan), (both.clone(), json!([]), json!([])));
    let counts = |line: &String| {
        let run = data(line);
        assert_eq!(run["status"], "success", "{run}");
        (run["created"].clone(), run["updated"].clone(), run["skipped"].clone())
    };
    assert_eq!(counts(pushed), (json!(2), json!(0), json!(0)));
    assert_eq!(lists(nothing), (json!([]), json!([]), both));
    assert_eq!(json(at_vercel)["created"]["value"], "k-changed");
    let standings = data(drift)["names"].clone();
    let standing = |name: &str| {
        let mut rows = standings.as_array().unwrap().iter();
        rows.find(|row| row["name"] == name).map(|row| row["standing"].clone())
    };
    assert_eq!(standing("API_KEY"), Some(json!("different")), "{drift}");
    assert_eq!((standing("DATABASE_URL"), standing("FEATURE_FLAGS")), (Some(json!("same")), Some(json!("extra"))));
    assert_eq!(lists(back), (json!(["FEATURE_FLAGS"]), json!(["API_KEY"]), json!(["DATABASE_URL"])));
    assert_eq!(counts(pulled), (json!(1), json!(1), json!(1)));
    let secrets = |line: &String| data(line)["secrets"].clone();
    let taken = json!({ "API_KEY": "k-changed", "DATABASE_URL": "postgres://db", "FEATURE_FLAGS": "beta" });
    assert_eq!(secrets(values), taken);
    assert_eq!(data(rolled_back)["restored"], 1);
    assert_eq!(secrets(restored), json!({ "API_KEY": "k-123456", "DATABASE_URL": "postgres://db" }));
    assert_eq!(counts(repaired), (json!(0), json!(1), json!(1)));
    let runs = data(history)["runs"].clone();
    let directions: Vec<&Value> = runs.as_array().unwrap().iter().map(|run| &run["direction"]).collect();
    assert_eq!(directions, ["push", "pull", "push"]);
    assert_eq!(gone, &format!("disconnected {id}"));
}

#[tokio::test]
async fn the_lines_of_vaults_work_in_any_shell_that_stops_at_errors_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path()).await;
    let all = stack.lines_to_paste();
    let vaults: Vec<&str> = all.into_iter().skip_while(|line| !line.starts_with("# vaults")).collect();
    // An HTTP error ends the curl of its line.
    let lines = vaults.join("\n").replace("curl -sS", "curl -sS --fail");
    for (name, options) in [("bash", "-euo pipefail"), ("sh", "-eu"), ("sh", "-eu")] {
        let mut look = program("sh");
        look.args(["-c", &format!("command -v {name} curl")]);
        if crate::process::run(look).await.code != Some(0) {
            continue;
        }
        let mut shell = program(name);
        shell.args(options.split(' ')).args(["-c", &lines]);
        let ended = crate::process::run(shell).await;
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{name}: {ended:?}");
        assert!(ended.out.lines().last().unwrap().starts_with("disconnected "), "{ended:?}");
    }
}

/// What the lines of the keys group show.
fn the_pool_fails_over_and_heals(shown: &[String]) {
    let [pooled, one, two, three, failed @ .., ill, monitored, well, gone_1, gone_2] = shown else {
        panic!("{shown:?}")
    };
    let json =
        |line: &String| -> Value { serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")) };
    assert_eq!(pooled, "pooled 1 and 2");
    let label = |name: &str| format!("\"key_label\":\"{name}\"");
    assert_eq!([one, two, three].map(String::as_str), [label("First"), label("First"), label("Second")]);
    let health: Vec<_> = failed.iter().map(|line| json(line)["health_status"].clone()).collect();
    assert_eq!(health, ["degraded", "degraded", "unhealthy"]);
    assert_eq!(json(ill)["summary"]["unhealthy"], 1, "{ill}");
    assert_eq!(json(monitored)["valid"], 1, "{monitored}");
    assert_eq!(json(well)["summary"], json!({ "total": 2, "healthy": 2, "degraded": 0, "unhealthy": 0 }));
    assert_eq!((&json(gone_1)["success"], &json(gone_2)["success"]), (&json!(true), &json!(true)));
}

/// What the wallets group's lines show.
fn a_history_comes_in([connected, found, transactions, deleted]: &[String; 4]) {
    let id = connected.strip_prefix("connected ").unwrap();
    assert!(id.starts_with("wal_") && id.len() == 25, "{connected}");
    let found: Value = serde_json::from_str(found).unwrap();
    let row = &found["data"][0];
    assert_eq!((&row["walletId"], &row["status"]), (&json!(id), &json!("COMPLETED")));
    assert_eq!(row["totalTransactions"], fakes::BITCOIN_TRANSACTIONS);
    let transactions: Value = serde_json::from_str(transactions).unwrap();
    assert_eq!(transactions["data"].as_array().unwrap().len(), 2);
    assert_eq!(deleted, &format!("deleted {id}"));
}

/// What the lines of the wallets group that connect an exchange show.
fn an_exchange_comes_in([connected, read, deleted]: &[String; 3]) {
    let id = connected.strip_prefix("connected ").unwrap();
    let read: Value = serde_json::from_str(read).unwrap();
    assert_eq!((&read["walletId"], &read["status"]), (&json!(id), &json!("COMPLETED")));
    assert_eq!((&read["provider"], &read["category"]), (&json!("kraken"), &json!("exchange")));
    assert_eq!(read["totalTransactions"], fakes::KRAKEN_TRANSACTIONS);
    assert_eq!(read["warnings"], json!([]));
    assert_eq!(deleted, &format!("deleted {id}"));
}

/// What the lines of the wallets group that import a file show.
fn a_file_comes_in([report, status, deleted]: &[String; 3]) {
    let report: Value = serde_json::from_str(report).unwrap();
    assert_eq!((&report["layout"], &report["imported"]), (&json!("binance_trades"), &json!(1)));
    assert_eq!((&report["rejected"][0]["line"], &report["rejected"][0]["column"]), (&json!(3), &json!("Pair")));
    assert_eq!(report["integration"]["alias"], "Old trades");
    assert_eq!(status, "\"status\":\"COMPLETED\"");
    assert_eq!(deleted, &format!("deleted {}", report["integration"]["walletId"].as_str().unwrap()));
}

#[tokio::test]
async fn without_the_sandbox_the_lines_leave_a_place_for_ones_own_webhook() {
    let folder = tempfile::tempdir().unwrap();
    let path: &Path = folder.path();
    let command = crate::process::causeway(&["dev", "--port", "0", "--data-dir", path.to_str().unwrap()]);
    let stack = Stack::run(command, path).await;
    assert!(stack.ready[0].ends_with("(the real providers)."), "{:?}", stack.ready);
    let own = stack.ready.iter().find(|line| line.starts_with("SLACK_WEBHOOK_URL=")).unwrap();
    assert!(own.ends_with("# put your own here"), "{own}");
    let own = stack.ready.iter().find(|line| line.starts_with("VERCEL=https://api.vercel.com TOKEN=")).unwrap();
    assert!(own.ends_with("# put your own here"), "{own}");
    let own = stack.ready.iter().find(|line| line.starts_with("ADDRESS=")).unwrap();
    assert!(own.ends_with("# put an address of your own here"), "{own}");
}

#[tokio::test]
async fn causeway_alone_is_the_sandbox_on_port_3000() {
    // The port may be taken by a stack that the developer runs, so it is only asked what the command means.
    let options = local::dev::Options::sandbox();
    assert_eq!(
        (options.port, options.data_dir.to_str(), options.fresh, options.sandbox),
        (3000, Some(".causeway"), false, true)
    );
}

#[tokio::test]
async fn the_root_lists_the_groups_and_the_functions() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path()).await;
    let overview = reqwest::Client::builder().no_proxy().build().unwrap().get(stack.url()).send().await.unwrap();
    let overview: Value = serde_json::from_str(&overview.text().await.unwrap()).unwrap();
    assert_eq!(overview["groups"]["services"], format!("{}/services/api/integrations", stack.url()));
    for function in ["services-api", "services-check", "sweep"] {
        assert!(overview["functions"].as_array().unwrap().contains(&json!(function)), "{overview}");
    }
}
