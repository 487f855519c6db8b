//! The binary as a process: run to its end, or kept running as a stack.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Far longer than anything here takes: what reaches it hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the last line of the ready message says.
const READY: &str = "Ctrl-C stops it.";

/// A program with an environment of its own.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env_clear().kill_on_drop(true).stdin(Stdio::null());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// The `causeway` binary with these arguments.
pub(crate) fn causeway(arguments: &[&str]) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_causeway"));
    command.args(arguments);
    command
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// The one line that a refusal consists of.
    #[track_caller]
    pub(crate) fn refusal(&self) -> &str {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert_eq!(self.out, "");
        let line = self.err.strip_suffix('\n').unwrap_or_else(|| panic!("not a line: {self:?}"));
        assert!(!line.contains('\n'), "more than one line: {line}");
        line.strip_prefix("causeway: ").unwrap_or_else(|| panic!("{line}"))
    }

    /// What was printed by a command that succeeded.
    #[track_caller]
    pub(crate) fn printed(&self) -> &str {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        &self.out
    }
}

/// Runs a command to its end.
pub(crate) async fn run(mut command: Command) -> Ended {
    let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The arguments of a sandbox on a free port over `folder`.
pub(crate) fn sandbox(folder: &Path) -> [&str; 6] {
    ["dev", "--sandbox", "--port", "0", "--data-dir", folder.to_str().unwrap()]
}

/// A running stack. It is killed when this is dropped.
pub(crate) struct Stack {
    child: Child,
    out: BufReader<ChildStdout>,
    err: File,
    /// The lines of the ready message.
    pub(crate) ready: Vec<String>,
    /// What `dev.json` says.
    pub(crate) file: Value,
    http: reqwest::Client,
}

impl Stack {
    /// Starts a sandbox over `folder` and waits until it is ready.
    pub(crate) async fn start(folder: &Path) -> Self {
        Self::run(causeway(&sandbox(folder)), folder).await
    }

    /// Starts a stack over `folder` by any command and waits until it is ready.
    pub(crate) async fn run(mut command: Command, folder: &Path) -> Self {
        let mut err = tempfile::tempfile().unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(err.try_clone().unwrap()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut ready = Vec::new();
        while ready.last().map(String::as_str) != Some(READY) {
            let mut line = String::new();
            if timeout(PATIENCE, out.read_line(&mut line)).await.unwrap().unwrap() == 0 {
                panic!("it ended before it was ready: {ready:?} {}", text(&mut err));
            }
            ready.push(line.trim_end().to_owned());
        }
        let file = serde_json::from_slice(&std::fs::read(folder.join("dev.json")).unwrap()).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { child, out, err, ready, file, http }
    }

    /// The stack's URL.
    pub(crate) fn url(&self) -> &str {
        self.file["url"].as_str().unwrap()
    }

    /// A token of a tenant.
    pub(crate) fn token(&self, tenant: &str, kind: &str) -> String {
        let tenants = self.file["tenants"].as_array().unwrap();
        let tenant = tenants.iter().find(|one| one["name"] == tenant).unwrap();
        tenant["tokens"][kind].as_str().unwrap().to_owned()
    }

    /// The services group as `acme` with all permissions.
    pub(crate) fn services(&self) -> Client {
        self.services_as(&self.token("acme", "admin"))
    }

    /// The services group with a token.
    pub(crate) fn services_as(&self, token: &str) -> Client {
        let base = format!("{}/api/integrations", self.file["groups"]["services"]["base_url"].as_str().unwrap());
        Client { http: self.http.clone(), base, token: token.to_owned() }
    }

    /// The ready message's lines that are to be pasted into a shell.
    pub(crate) fn lines_to_paste(&self) -> Vec<&str> {
        let lines = self.ready.iter().map(String::as_str);
        let lines = lines.skip_while(|line| !line.starts_with("Paste these")).skip(1);
        lines.filter(|line| !line.is_empty() && *line != READY).collect()
    }

    /// Sends a signal.
    pub(crate) async fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id().unwrap());
        let mut shell = program("sh");
        shell.args(["-c", &kill]);
        assert_eq!(run(shell).await.printed(), "");
    }

    /// Waits for its end. Its output is what it wrote after the ready message.
    pub(crate) async fn ended(mut self) -> Ended {
        let status = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        let mut out = String::new();
        self.out.read_to_string(&mut out).await.unwrap();
        Ended { code: status.code(), out, err: text(&mut self.err) }
    }

    /// Stops it, as Ctrl-C does.
    pub(crate) async fn stop(self) {
        self.signal("INT").await;
        let ended = self.ended().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    /// Ends it at once, as a crash or `kill -9` does.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

fn text(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

/// Speaks to the services group with one token.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    /// Sends a request to a path under `/api/integrations`. `None` if no answer came.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Option<(u16, Value)> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.timeout(PATIENCE).send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, serde_json::from_slice(&response.bytes().await.ok()?).unwrap()))
    }

    /// The same, with an answer of this status.
    pub(crate) async fn expect(&self, status: u16, method: &str, path: &str, body: Option<Value>) -> Value {
        let (answered, body) = self.send(method, path, body).await.unwrap();
        assert_eq!(answered, status, "{method} {path}: {body}");
        body
    }

    /// Creates an integration of the type `slack` and returns its id.
    pub(crate) async fn create_slack(&self, name: &str, webhook_url: &str) -> String {
        let body = json!({ "name": name, "type": "slack", "config": { "webhookUrl": webhook_url } });
        self.expect(201, "POST", "", Some(body)).await["id"].as_str().unwrap().to_owned()
    }
}
