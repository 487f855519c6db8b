//! Every operation that takes several steps fails at each of them in turn, in every way, and nothing is lost, doubled,
//! wrong at the platform, or left behind.
//!
//! Each operation runs once to learn its steps: its calls to AWS, and its requests to the platform. Then, for each step
//! and each [`Blow`], it runs again and is struck there. Afterwards the fault is gone, the client or the job asks again,
//! the jobs and the sweep run, and everything must be as if nothing had happened. A function dies by being dropped in the
//! middle of a call that writes, which arrives at AWS all the same, and not at the platform: so it dies between any two
//! writes. A step that only reads changes nothing, so it is just refused for good; that the SDK asks once more is tested
//! elsewhere. Each operation is also asked for, or its event delivered, twice: one after the other, and both at once. Cases
//! run one after the other on stacks that are emptied in between.
//!
//! The look at a job's queues is no step: how many of them there are is chance's.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use fakes::platforms::railway::RailwayReach;
use fakes::platforms::vercel::VercelRecord;
use fakes::{Answer as Reply, Fault as PlatformFault, Host};
use futures::future::BoxFuture;
use futures::{StreamExt, join};
use kit::TestApp;
use kit::fault_proxy::{Fault, Injection};
use serde_json::{Map, Value, json};

use super::authorize::decide;
use super::fixtures::{CONNECTIONS, ENVIRONMENT, SECRETS, SYNC, asks, put, reach, set_at_vercel, sync};
use super::stacks::{Stack, Stacks};
use crate::fault_table;
use crate::secrets::labels;

/// Stacks that run at the same time. Much of a case is waiting: for the pause before a repetition.
const AT_ONCE: usize = 6;
/// Longer than anything is remembered, than any lease, and than a request that died holds its idempotency key.
const A_WHILE: i64 = 121;
/// Longer than the first pause after a push that did not work.
const A_PAUSE: i64 = 301;
const TWO_HOURS: i64 = 7_200;
/// How long a function has.
const TIME: Duration = Duration::from_secs(60);
const ANOTHER_TOKEN: &str = "vcp_another_token";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    PutVault,
    /// The first values of an environment, which is made, and its vault with it.
    ReplaceSecrets,
    UpdateSecrets,
    /// A change of values that lie in several secrets, to which one is added.
    UpdateSpread,
    /// A change by which the oldest version is kept no longer, nor the secrets that it alone needed.
    OutgrowVersion,
    Rollback,
    Connect,
    /// The same account with another token.
    Reconnect,
    Authorize,
    /// The callback at which the code is exchanged.
    Callback,
    /// A connection made by OAuth, with links.
    Disconnect,
    SetLink,
    Push,
    Pull,
    /// `vaults-sync` is told by the table's stream.
    Stream,
    /// `vaults-sync` finds what is due.
    Schedule,
    /// `vaults-sync` finds what somebody else changed.
    Drift,
    /// `vaults-refresh`
    Refresh,
}

const EDITS: [Operation; 6] = [
    Operation::PutVault,
    Operation::ReplaceSecrets,
    Operation::UpdateSecrets,
    Operation::UpdateSpread,
    Operation::OutgrowVersion,
    Operation::Rollback,
];
const CONNECTING: [Operation; 4] =
    [Operation::Connect, Operation::Reconnect, Operation::Authorize, Operation::Callback];
const DISCONNECTING: [Operation; 2] = [Operation::Disconnect, Operation::Refresh];
const SYNCS: [Operation; 3] = [Operation::SetLink, Operation::Push, Operation::Pull];
const JOBS: [Operation; 3] = [Operation::Stream, Operation::Schedule, Operation::Drift];

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// It is refused, and whatever comes after it.
    Refused,
    /// It is done, and its answer lost.
    Lost,
    /// The same, and so with whatever comes after it.
    LostFromThereOn,
    /// The function dies when it has asked: what is on its way arrives at AWS, and not at the platform.
    Died,
}

/// Where an operation is struck.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A call to AWS.
    Aws(String),
    /// A request to the platform.
    Platform(String),
}

/// In the order of the table's columns.
const BLOWS: [Blow; 4] = [Blow::Refused, Blow::Lost, Blow::LostFromThereOn, Blow::Died];
const COLUMNS: [&str; 4] = ["refused", "lost", "lost from there on", "died"];

impl Step {
    /// The ways in which it is struck.
    fn blows(&self) -> &'static [Blow] {
        const READS: [&str; 4] = ["BatchGetItem", "GetItem", "GetSecretValue", "Query"];
        match self {
            Self::Aws(call) if READS.contains(&call.as_str()) => &[Blow::Refused],
            Self::Platform(request) if request.starts_with("GET ") => &[Blow::Refused],
            Self::Aws(_) | Self::Platform(_) => &BLOWS,
        }
    }

    /// Its name in the table.
    fn label(&self) -> String {
        match self {
            Self::Aws(name) | Self::Platform(name) => name.chars().take(28).collect(),
        }
    }
}

/// What an operation came to. `None` if it died.
type Outcome = Option<Told>;

#[derive(Debug)]
enum Told {
    Api(u64, String),
    Job(Result<Value, String>),
}

/// A stack on which an operation is about to run.
struct Scene {
    stack: Stack,
    operation: Operation,
    /// The connection's id, where there is one.
    id: String,
    /// What a job is told, or the query of a callback.
    given: Value,
}

impl Deref for Scene {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.stack
    }
}

/// A stack with nothing in its vaults, and tokens and consent at the platforms.
async fn start() -> Stack {
    let app = TestApp::start().await;
    app.fakes.vercel.add_project("prj_1", "another", "team_sandbox");
    app.fakes.vercel.add_token(&app.demo.vercel_token, reach());
    app.fakes.vercel.add_token(ANOTHER_TOKEN, reach());
    let workspaces = vec!["ws_1".to_owned()];
    app.fakes.railway.add_workspace("ws_1", "Acme");
    let granted = RailwayReach::Grant { user: "user_1".into(), workspaces, projects: Vec::new(), writes: true };
    app.fakes.railway.consent_as(granted);
    // It is kept in memory from the first time on.
    let _ = app.platform.signing_key().await.unwrap();
    Stack::of(app).await
}

impl Scene {
    async fn set(stacks: &Stacks, operation: Operation) -> Self {
        let stack = match stacks.take() {
            Some(stack) => stack,
            None => start().await,
        };
        let mut scene = Self { stack, operation, id: String::new(), given: Value::Null };
        let name = format!("{operation:?}");
        match scene.stack.restore(&name).await {
            Some((id, given)) => (scene.id, scene.given) = (id, given),
            None => {
                scene.prepare().await;
                // What ends by itself after some minutes cannot be put back.
                if !matches!(operation, Operation::Callback | Operation::Refresh) {
                    scene.stack.keep(name, scene.id.clone(), scene.given.clone()).await;
                }
            }
        }
        scene.app.advance(A_WHILE);
        scene
    }

    /// Leaves the stack to the next case.
    async fn clear(self, stacks: &Stacks) {
        self.stack.clear().await;
        stacks.give(self.stack);
    }

    async fn prepare(&mut self) {
        let vaults = self.app.vaults();
        match self.operation {
            Operation::PutVault | Operation::ReplaceSecrets | Operation::Connect | Operation::Authorize => {}
            Operation::UpdateSecrets => put(&vaults, json!({ "A": "1", "B": "1" })).await,
            Operation::UpdateSpread => put(&vaults, large(0..8, 1)).await,
            Operation::OutgrowVersion => {
                put(&vaults, large(0..8, 1)).await;
                for number in 2..=10 {
                    put(&vaults, json!({ "N0": number.to_string() })).await;
                }
            }
            Operation::Rollback => {
                put(&vaults, json!({ "A": "1", "B": "1" })).await;
                put(&vaults, json!({ "A": "2" })).await;
            }
            Operation::Reconnect => self.connect().await,
            Operation::Callback => {
                let page = self.page("railway").await;
                let callback = url::Url::parse(&decide(&self.app, &page, "allow").await).unwrap();
                self.given = callback.query().unwrap().into();
            }
            Operation::Disconnect => {
                let page = self.page("vercel").await;
                let _ = self.app.browse(&decide(&self.app, &page, "allow").await).await;
                self.id = vaults.get(CONNECTIONS).await.str("/data/connections/0/id");
                put(&vaults, json!({ "A": "1" })).await;
                let _ = sync(&self.app, &self.id, json!({ "auto": true })).await;
                let _ = sync(&self.app, &self.id, json!({ "providerEnvironment": "preview" })).await;
            }
            Operation::SetLink => {
                self.connect().await;
                put(&vaults, json!({ "A": "1" })).await;
            }
            Operation::Push => self.prepare_push().await,
            Operation::Pull => {
                self.connect().await;
                put(&vaults, json!({ "CHANGED": "old", "OURS": "1", "SAME": "3" })).await;
                set_at_vercel(&self.app, "CHANGED", "new");
                set_at_vercel(&self.app, "NEW", "2");
                set_at_vercel(&self.app, "SAME", "3");
            }
            Operation::Stream | Operation::Schedule | Operation::Drift => self.prepare_automatic().await,
            Operation::Refresh => {
                self.consent_at_railway().await;
                self.app.advance(3_000);
                self.given = self.app.scheduled_event();
            }
        }
    }

    async fn connect(&mut self) {
        let body = json!({ "token": self.app.demo.vercel_token, "account": "team_sandbox" });
        self.id = self.app.vaults().post("/v1/integrations/vercel/connect", &body).await.str("/data/id");
    }

    /// The address of a page of consent.
    async fn page(&self, platform: &str) -> String {
        let vaults = self.app.vaults().header("accept", "application/json");
        vaults.get(&format!("/v1/integrations/{platform}/authorize")).await.str("/data/authorizationUrl")
    }

    async fn consent_at_railway(&self) {
        let page = self.page("railway").await;
        let done = self.app.browse(&decide(&self.app, &page, "allow").await).await;
        assert_eq!(done.status, 200, "{}", done.text);
    }

    /// Something to create, to change, to split, to delete, and to leave alone; also where values are not given back.
    async fn prepare_push(&mut self) {
        self.connect().await;
        let vaults = self.app.vaults();
        let vercel = &self.app.fakes.vercel;
        vercel.add_record("prj_1", VercelRecord::sensitive("HIDDEN", "x", &["production"]));
        vercel.add_record("prj_1", VercelRecord::of("SHARED", "theirs", &["production", "preview", "development"]));
        set_at_vercel(&self.app, "THEIRS", "stays");
        put(&vaults, json!({ "CHANGED": "1", "GONE": "1", "HIDDEN": "1", "SAME": "1" })).await;
        let run = sync(&self.app, &self.id, json!({})).await;
        assert_eq!(run["status"], "success", "{run}");
        put(&vaults, json!({ "CHANGED": "2", "HIDDEN": "2", "NEW": "2", "SAME": "1", "SHARED": "ours" })).await;
    }

    /// A link that pushes by itself, and something for it to do.
    async fn prepare_automatic(&mut self) {
        self.connect().await;
        let vaults = self.app.vaults();
        put(&vaults, json!({ "A": "1", "B": "1" })).await;
        let _ = sync(&self.app, &self.id, json!({ "auto": true, "allowDelete": true })).await;
        let pushed = self.app.invoke("vaults-sync", &self.app.scheduled_event()).await.expect(200);
        assert_eq!(pushed["pushed"], 1);
        let _ = self.app.stream_events();
        if self.operation == Operation::Drift {
            let record = self.app.fakes.vercel.records("prj_1")[0].id.clone();
            self.app.fakes.vercel.edit("prj_1", &record, "theirs");
            set_at_vercel(&self.app, "THEIRS", "stays");
            self.app.advance(86_400);
        } else {
            put(&vaults, json!({ "A": "2", "C": "2" })).await;
        }
        self.given = match self.operation {
            Operation::Stream => self.app.stream_events()[0].1.clone(),
            _ => self.app.scheduled_event(),
        };
    }

    /// Runs the operation: the same request or event each time.
    async fn run(&self, key: &str) -> Told {
        let connect = "/v1/integrations/vercel/connect";
        let links = format!("{SYNC}/links");
        let delete = format!("{CONNECTIONS}/{}", self.id);
        let managed = json!({ "allowDelete": true, "deleteScope": "managed" });
        let token = |token: &str| json!({ "token": token, "account": "team_sandbox" });
        match self.operation {
            Operation::PutVault => self.request("PUT", "/v1/vaults/acme/app", json!({}), key).await,
            Operation::ReplaceSecrets => self.request("PUT", SECRETS, json!({ "A": "1", "B": "2" }), key).await,
            Operation::UpdateSecrets => {
                self.request("PATCH", SECRETS, json!({ "A": "2", "B": null, "C": "2" }), key).await
            }
            Operation::UpdateSpread => self.request("PATCH", SECRETS, large((0..11).step_by(2), 2), key).await,
            Operation::OutgrowVersion => self.request("PUT", SECRETS, json!({ "N0": "last" }), key).await,
            Operation::Rollback => {
                self.request("POST", &format!("{ENVIRONMENT}/rollback"), json!({ "version": 1 }), key).await
            }
            Operation::Connect => self.request("POST", connect, token(&self.app.demo.vercel_token), key).await,
            Operation::Reconnect => self.request("POST", connect, token(ANOTHER_TOKEN), key).await,
            Operation::Authorize => self.request("GET", "/v1/integrations/railway/authorize", Value::Null, key).await,
            Operation::Callback => {
                self.request("GET", "/v1/integrations/railway/callback", self.given.clone(), key).await
            }
            Operation::Disconnect => self.request("DELETE", &delete, Value::Null, key).await,
            Operation::SetLink => self.request("PUT", &links, asks(&self.id, json!({ "auto": true })), key).await,
            Operation::Push => self.request("POST", SYNC, asks(&self.id, managed), key).await,
            Operation::Pull => {
                let body = asks(&self.id, json!({ "direction": "pull", "allowDelete": true }));
                self.request("POST", SYNC, body, key).await
            }
            Operation::Stream | Operation::Schedule | Operation::Drift => self.job("vaults-sync").await,
            Operation::Refresh => self.job("vaults-refresh").await,
        }
    }

    async fn job(&self, function: &str) -> Told {
        let outcome = self.functions[function].invoke(self.given.clone(), TIME).await;
        Told::Job(outcome.map_err(|failure| failure.message))
    }

    /// A request as API Gateway sends it, in this process: dropped, it dies. A body that is text is the query.
    async fn request(&self, method: &str, path: &str, body: Value, key: &str) -> Told {
        let query = body.as_str().unwrap_or_default();
        let event = json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
            "headers": {
                "authorization": format!("Bearer {}", self.app.tenant("acme").tokens.admin),
                "accept": "application/json", "content-type": "application/json", "idempotency-key": key,
                "host": "api.example.com", "x-forwarded-proto": "https",
            },
            "requestContext": {
                "accountId": "123456789012", "apiId": "a1b2c3d4e5", "domainName": "api.example.com", "domainPrefix": "api",
                "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7",
                    "userAgent": "a test" },
                "requestId": "one", "routeKey": "$default", "stage": "$default",
                "time": "28/May/2026:20:26:40 +0000", "timeEpoch": 1_780_000_000_000_u64,
            },
            "isBase64Encoded": false,
            "body": if body.is_object() { body.to_string().into() } else { Value::Null },
        });
        let answer = self.functions["vaults-api"].invoke(event, TIME).await.unwrap();
        Told::Api(answer["statusCode"].as_u64().unwrap(), answer["body"].as_str().unwrap_or_default().to_owned())
    }

    /// True if it was done. If not, it was said in the group's way.
    fn done(&self, told: &Told) -> bool {
        match told {
            Told::Api(404, _) if self.operation == Operation::Disconnect => true,
            Told::Api(200..300, text) if matches!(self.operation, Operation::Push | Operation::Pull) => {
                let run = serde_json::from_str::<Value>(text).unwrap()["data"].clone();
                let (done, told) = (run["status"] == "success", run["reason"].is_string() || run["failed"].is_array());
                assert!(done || told, "{run}");
                done
            }
            Told::Api(200..300, _) => true,
            Told::Api(status @ (400 | 500 | 502 | 504), text) => {
                let page = self.operation == Operation::Callback && text.contains("not connected");
                let problem = !page && serde_json::from_str::<Value>(text).unwrap()["traceId"].is_string();
                assert!(page || (problem && *status != 400), "{status}: {text}");
                false
            }
            Told::Api(status, text) => panic!("{status}: {text}"),
            Told::Job(Ok(tally)) if self.operation == Operation::Refresh => tally["renewed"] == 1,
            Told::Job(Ok(tally)) => tally["pushed"] == 1,
            Told::Job(Err(_)) => false,
        }
    }

    /// Where the platform is that the operation asks.
    fn platform(&self) -> &Host {
        match self.operation {
            Operation::Callback | Operation::Refresh | Operation::Authorize => &self.app.fakes.railway.host,
            _ => &self.app.fakes.vercel.host,
        }
    }

    /// The steps so far.
    fn steps(&self) -> Vec<Step> {
        let calls = self.app.proxy.calls().into_iter().filter(|call| is_step(&call.request));
        let requests = self.platform().requests().into_iter();
        let requests = requests.map(|request| Step::Platform(format!("{} {}", request.method, request.path)));
        calls.map(|call| Step::Aws(call.operation)).chain(requests).collect()
    }

    /// Runs the operation and strikes it at the step of this number, among those of its sort.
    async fn struck(&self, step: &Step, number: usize, blow: Blow) -> Outcome {
        self.app.proxy.forget_calls();
        self.platform().forget_requests();
        let outcome = match step {
            Step::Aws(_) => self.struck_at_aws(number, blow).await,
            Step::Platform(_) => self.struck_at_platform(number, blow).await,
        };
        self.app.proxy.clear();
        self.platform().faults().clear();
        outcome
    }

    async fn struck_at_aws(&self, number: usize, blow: Blow) -> Outcome {
        let inject = |fault: Fault| self.app.proxy.inject(fault).when(is_step).nth(number);
        let (injected, dies): (Injection, bool) = match blow {
            Blow::Refused => (inject(Fault::ServerError).always(), false),
            Blow::Lost => (inject(Fault::LoseAnswer), false),
            Blow::LostFromThereOn => (inject(Fault::LoseAnswer).always(), false),
            Blow::Died => (inject(Fault::Hold), true),
        };
        if !dies {
            let told = self.run("one").await;
            assert!(injected.strikes() > 0, "the fault struck nothing");
            return Some(told);
        }
        tokio::select! {
            told = self.run("one") => panic!("it did not get there: {told:?}"),
            () = injected.struck() => {}
        }
        injected.release();
        let is_on_its_way = || {
            let calls = self.app.proxy.calls();
            calls.iter().any(|call| call.fault == Some(Fault::Hold) && call.answer.is_none())
        };
        while is_on_its_way() {
            tokio::task::yield_now().await;
        }
        None
    }

    async fn struck_at_platform(&self, number: usize, blow: Blow) -> Outcome {
        let faults = self.platform().faults();
        let (fault, count) = match blow {
            Blow::Refused => (PlatformFault::Answer(Reply::status(500)), None),
            Blow::Lost => (PlatformFault::LoseAnswer, Some(1)),
            Blow::LostFromThereOn => (PlatformFault::LoseAnswer, None),
            Blow::Died => {
                faults.after(number - 1, Some(1), PlatformFault::Hang);
                tokio::select! {
                    told = self.run("one") => panic!("it did not get there: {told:?}"),
                    () = faults.hanging(1) => {}
                }
                faults.none_hanging().await;
                return None;
            }
        };
        faults.after(number - 1, count, fault);
        let told = self.run("one").await;
        assert!(self.platform().requests().len() >= number, "the fault struck nothing");
        Some(told)
    }

    /// The client or the job asks again until it is done. What nothing was decided of is asked under the same key.
    async fn repeat(&self, first: &Outcome) {
        let decided = matches!(first, Some(Told::Api(200..500, _)));
        for attempt in 0..3 {
            self.app.advance(A_WHILE);
            let key = if decided || attempt > 0 { format!("again {attempt}") } else { "one".into() };
            match self.operation {
                // A state is good once: the user begins again, unless all was done.
                Operation::Callback => {
                    if self.connections().await.is_empty() {
                        self.consent_at_railway().await;
                    }
                    return;
                }
                // Somebody finds that an account must be connected again.
                Operation::Refresh if self.connections().await[0]["status"] == "needs_reauth" => {
                    return self.consent_at_railway().await;
                }
                Operation::Stream | Operation::Schedule | Operation::Drift => self.app.advance(A_PAUSE),
                _ => {}
            }
            let told = self.run(&key).await;
            let nothing_due = matches!(&told, Told::Job(Ok(tally))
                if tally["failed"].as_u64().unwrap_or(0) + tally["busy"].as_u64().unwrap_or(0)
                    + tally["putOff"].as_u64().unwrap_or(0) + tally["refused"].as_u64().unwrap_or(0) == 0);
            if self.done(&told) || nothing_due {
                return;
            }
            assert!(matches!(self.operation, Operation::Refresh), "asked again: {told:?}");
        }
        panic!("it does not end");
    }

    async fn connections(&self) -> Vec<Value> {
        let listed = self.app.vaults().get(CONNECTIONS).await.expect(200);
        listed["data"]["connections"].as_array().unwrap().clone()
    }

    /// Lets what died be past, the jobs do what is due, and the sweep look after all of it.
    async fn settle(&self) {
        // Where there is no link there is nothing to do.
        let has_links = [&DISCONNECTING[..], &SYNCS, &JOBS].concat().contains(&self.operation);
        for _ in 0..if has_links { 2 } else { 0 } {
            self.app.advance(A_PAUSE);
            let ran = self.app.invoke("vaults-sync", &self.app.scheduled_event()).await;
            assert_eq!(ran.header("x-amz-function-error"), None, "{}", ran.text);
        }
        let swept = self.app.invoke("sweep", &self.app.scheduled_event_in(TWO_HOURS)).await;
        assert_eq!(swept.header("x-amz-function-error"), None, "{}", swept.text);
    }

    /// The values of the vault's environment, long ones cut short. Nothing if there is none.
    async fn values(&self) -> Value {
        self.app.advance(A_WHILE);
        let shown = self.app.vaults().get(SECRETS).await;
        if shown.status == 404 {
            return Value::Null;
        }
        let values = shown.expect(200)["data"]["secrets"].as_object().unwrap().clone();
        let short = |value: &Value| match value.as_str().unwrap() {
            long if long.len() > 100 => json!(format!("{}…", long.split(' ').next().unwrap())),
            short => json!(short),
        };
        values.iter().map(|(name, value)| (name.clone(), short(value))).collect::<Map<_, _>>().into()
    }

    /// What a deployment of an environment gets.
    fn at(&self, environment: &str) -> Value {
        let values = self.app.fakes.vercel.values("prj_1", environment).into_iter();
        let values: Vec<(String, String)> = values.collect();
        let names: BTreeSet<&String> = values.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), values.len(), "a name stands there twice: {values:?}");
        values.into_iter().map(|(name, value)| (name, json!(value))).collect::<Map<_, _>>().into()
    }

    /// What there is, after making sure that its parts agree.
    async fn sound(&self) -> Value {
        let connections = self.connections().await;
        for connection in &connections {
            let path = format!("{CONNECTIONS}/{}/projects", connection["id"].as_str().unwrap());
            let _ = self.app.vaults().get(&path).await.expect(200);
        }
        let shown = connections.iter().map(|one| json!([one["providerAccountId"], one["status"]]));
        let mut end = json!({ "connections": shown.collect::<Vec<_>>() });
        let vaults = self.app.vaults().get("/v1/vaults").await.expect(200)["data"]["vaults"].clone();
        if !vaults.as_array().unwrap().is_empty() {
            let links = self.app.vaults().get(&format!("{SYNC}/links")).await.expect(200)["data"]["links"].clone();
            let links = links.as_array().unwrap().iter();
            end["links"] = links.map(|link| json!([link["providerEnvironment"], link["auto"]])).collect();
        }
        end["vault"] = self.values().await;
        end["production"] = self.at("production");
        end["preview"] = self.at("preview");
        if let (Operation::Push | Operation::Pull, Some(one)) = (self.operation, connections.first()) {
            // The next sync has nothing to do: what is remembered is what is there.
            let direction = if self.operation == Operation::Pull { "pull" } else { "push" };
            let query = format!("&direction={direction}&allowDelete=true&deleteScope=managed");
            let plan = super::fixtures::preview(&self.app, one["id"].as_str().unwrap(), &query).await;
            for left in ["toCreate", "toUpdate", "toDelete"] {
                assert_eq!(plan[left], json!([]), "{left}: {plan}");
            }
        }
        self.assert_whole(&connections).await;
        end
    }

    /// No item and no secret is without the one that it belongs to, and no version is kept that nobody names.
    async fn assert_whole(&self, connections: &[Value]) {
        let ids: BTreeSet<&str> = connections.iter().map(|one| one["id"].as_str().unwrap()).collect();
        let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let (mut identities, mut links, mut ledgers) = (0, BTreeSet::new(), BTreeSet::new());
        for item in self.app.table.scan().table_name("causeway").send().await.unwrap().items() {
            let (partition, sort) = (item["pk"].as_s().unwrap(), item["sk"].as_s().unwrap());
            let text = |name: &str| item[name].as_s().unwrap().clone();
            if partition != "T#acme#vaults" {
                continue;
            }
            let (kind, rest) = sort.split_once('#').unwrap();
            match kind {
                "I" if rest.starts_with("env_") => {
                    for (part, versions) in item["parts"].as_m().unwrap() {
                        let versions = versions.as_l().unwrap().iter().map(|one| one.as_s().unwrap().clone());
                        named.insert(format!("causeway/acme/vaults/{rest}/{part}"), versions.collect());
                    }
                }
                "I" => {
                    let version = item["secret"].as_m().unwrap()["version"].as_s().unwrap().clone();
                    named.insert(format!("causeway/acme/vaults/{rest}"), vec![version]);
                }
                "U" => {
                    identities += 1;
                    assert!(ids.contains(text("id").as_str()), "an account of a connection that is not there");
                }
                "L" => {
                    assert!(ids.contains(text("connection_id").as_str()), "a link of a connection that is not there");
                    links.insert(rest.split_once('#').unwrap().1.to_owned());
                }
                "G" => drop(ledgers.insert(rest.split('#').next().unwrap().to_owned())),
                // Vaults; leases and what a request leaves for a repetition, which end by themselves.
                "V" | "K" => {}
                _ => panic!("{sort} was left behind"),
            }
        }
        assert_eq!(identities, ids.len());
        assert!(ledgers.is_subset(&links), "what links wrote that are not there: {ledgers:?} of {links:?}");
        let secrets: BTreeSet<String> = self.app.secret_names().await.into_iter().collect();
        assert_eq!(secrets, named.keys().cloned().collect(), "secrets and items must go together");
        for (secret, versions) in named {
            let labels = labels(&self.app, &secret).await;
            let kept: BTreeSet<&String> = labels.keys().collect();
            for version in &versions {
                assert!(kept.contains(version), "{secret} {version} is not among {labels:?}");
            }
            for (version, labels) in &labels {
                let is_kept = labels.contains("AWSCURRENT") || labels.iter().any(|label| label.starts_with("keep-"));
                assert!(!is_kept || versions.contains(version), "{secret} {version} is nobody's: {labels:?}");
            }
            assert!(labels[&versions[0]].contains("AWSCURRENT"), "{secret}: {labels:?}");
        }
    }
}

/// The look at a job's queues is none: where in them a thing waits is chance's.
fn is_step(body: &Value) -> bool {
    body["IndexName"] != "due"
}

/// Values of 20 KiB each, three of which fill a secret.
fn large(numbers: impl Iterator<Item = usize>, round: usize) -> Value {
    let value = |number: usize| format!("{number}.{round} {}", "x".repeat(20 * 1_024));
    numbers.map(|number| (format!("N{number}"), json!(value(number)))).collect::<Map<_, _>>().into()
}

/// What is to be there in the end.
fn expected(operation: Operation) -> Value {
    let nothing = || json!({ "connections": [], "vault": null, "production": {}, "preview": {} });
    let of = |connections: Value, links: Value, vault: Value, production: Value| json!({ "connections": connections, "links": links, "vault": vault, "production": production, "preview": {} });
    let vercel = || json!([["team_sandbox", "active"]]);
    let railway = || json!({ "connections": [["user_1", "active"]], "vault": null, "production": {}, "preview": {} });
    let edited = |values: Value| of(json!([]), json!([]), values, json!({}));
    match operation {
        Operation::PutVault => edited(Value::Null),
        Operation::ReplaceSecrets => edited(json!({ "A": "1", "B": "2" })),
        Operation::UpdateSecrets => edited(json!({ "A": "2", "C": "2" })),
        Operation::UpdateSpread => {
            let round = |number: usize| if number.is_multiple_of(2) { 2 } else { 1 };
            let names = (0..8).chain([8, 10]);
            let value = |number: usize| (format!("N{number}"), json!(format!("{number}.{}…", round(number))));
            edited(names.map(value).collect::<Map<_, _>>().into())
        }
        Operation::OutgrowVersion => edited(json!({ "N0": "last" })),
        Operation::Rollback => edited(json!({ "A": "1", "B": "1" })),
        Operation::Connect | Operation::Reconnect => {
            let mut end = nothing();
            end["connections"] = vercel();
            end
        }
        Operation::Authorize => nothing(),
        Operation::Callback | Operation::Refresh => railway(),
        Operation::Disconnect => {
            let mut end = of(json!([]), json!([]), json!({ "A": "1" }), json!({ "A": "1" }));
            end["preview"] = json!({ "A": "1" });
            end
        }
        Operation::SetLink => of(vercel(), json!([["production", true]]), json!({ "A": "1" }), json!({ "A": "1" })),
        Operation::Push => {
            let vault = json!({ "CHANGED": "2", "HIDDEN": "2", "NEW": "2", "SAME": "1", "SHARED": "ours" });
            let mut production = vault.clone();
            production["THEIRS"] = json!("stays");
            let mut end = of(vercel(), json!([["production", false]]), vault, production);
            end["preview"] = json!({ "SHARED": "theirs" });
            end
        }
        Operation::Pull => {
            let both = json!({ "CHANGED": "new", "NEW": "2", "SAME": "3" });
            of(vercel(), json!([["production", false]]), both.clone(), both)
        }
        Operation::Stream | Operation::Schedule => {
            let both = json!({ "A": "2", "C": "2" });
            of(vercel(), json!([["production", true]]), both.clone(), both)
        }
        Operation::Drift => {
            let vault = json!({ "A": "1", "B": "1" });
            of(vercel(), json!([["production", true]]), vault, json!({ "A": "1", "B": "1", "THEIRS": "stays" }))
        }
    }
}

/// An operation, its steps, and the values of the vault before and after it.
#[derive(Clone)]
struct Course {
    operation: Operation,
    steps: Vec<Step>,
    values: [Value; 2],
}

async fn learn(stacks: Arc<Stacks>, operation: Operation) -> Course {
    let scene = Scene::set(&stacks, operation).await;
    let before = scene.values().await;
    scene.app.proxy.forget_calls();
    scene.platform().forget_requests();
    let told = scene.run("one").await;
    assert!(scene.done(&told), "{operation:?}: {told:?}");
    let steps = scene.steps();
    let after = scene.values().await;
    scene.settle().await;
    assert_eq!(scene.sound().await, expected(operation), "{operation:?}");
    scene.clear(&stacks).await;
    Course { operation, steps, values: [before, after] }
}

async fn case(stacks: Arc<Stacks>, course: Course, step: Step, number: usize, blow: Blow) {
    let operation = course.operation;
    let scene = Scene::set(&stacks, operation).await;
    // As when the steps were learnt: nothing is remembered.
    let _ = scene.values().await;
    let first = scene.struck(&step, number, blow).await;
    let done = first.as_ref().is_some_and(|told| scene.done(told));
    // An edit of the vault happens whole or not at all, and what was answered with success is there.
    let now = scene.values().await;
    assert!(course.values.contains(&now), "{now}");
    if done {
        assert_eq!(now, course.values[1], "it was said to be done");
    }
    // Nobody else's values are touched, whatever happens to ours.
    let preview =
        if operation == Operation::Disconnect { json!({ "A": "1" }) } else { expected(operation)["preview"].clone() };
    assert_eq!(scene.at("preview"), preview);
    if operation == Operation::Reconnect && done {
        scene.app.fakes.vercel.revoke(&scene.app.demo.vercel_token);
    }
    scene.repeat(&first).await;
    if operation == Operation::Reconnect {
        scene.app.fakes.vercel.revoke(&scene.app.demo.vercel_token);
    }
    scene.settle().await;
    assert_eq!(scene.sound().await, expected(operation));
    scene.clear(&stacks).await;
}

async fn assert_every_case(group: &str, operations: &[Operation]) {
    let stacks = Arc::new(Stacks::default());
    let learning: Vec<_> = operations.iter().map(|operation| learn(Arc::clone(&stacks), *operation)).collect();
    let courses: Vec<Course> = futures::stream::iter(learning).buffered(AT_ONCE).collect().await;
    let mut cases: Vec<BoxFuture<'static, ()>> = Vec::new();
    for course in &courses {
        let (mut calls, mut requests) = (0, 0);
        for step in &course.steps {
            let count = if matches!(step, Step::Aws(_)) { &mut calls } else { &mut requests };
            *count += 1;
            for blow in step.blows() {
                cases.push(Box::pin(case(Arc::clone(&stacks), course.clone(), step.clone(), *count, *blow)));
            }
        }
        for at_once in [false, true] {
            cases.push(Box::pin(delivered_twice(Arc::clone(&stacks), course.operation, at_once)));
        }
    }
    let outcomes = futures::stream::iter(cases).map(|case| async { tokio::spawn(case).await.is_ok() });
    let mut held = outcomes.buffered(AT_ONCE).collect::<Vec<bool>>().await.into_iter();
    let mut rows = Vec::new();
    for Course { operation, steps, .. } in courses {
        let mut some = |count: usize| held.by_ref().take(count).collect::<Vec<bool>>();
        let steps = steps.iter().map(|step| (step.label(), some(step.blows().len()))).collect();
        let twice = some(2).into_iter().all(|held| held);
        rows.push(fault_table::Course { operation: format!("{operation:?}"), steps, twice });
    }
    fault_table::assert_all_held(group, &COLUMNS, &rows);
}

/// Lambda delivers events at least once, clients and gateways repeat requests: one after the other, and both at once.
async fn delivered_twice(stacks: Arc<Stacks>, operation: Operation, at_once: bool) {
    let scene = Scene::set(&stacks, operation).await;
    let first = if at_once {
        let (one, other) = join!(scene.run("one"), scene.run("one"));
        assert!(scene.done(&one) || scene.done(&other), "{one:?}, {other:?}");
        one
    } else {
        let one = scene.run("one").await;
        assert!(scene.done(&one), "{one:?}");
        // Nothing may be left to do the second time: for a job, or with a state that was used.
        let _ = scene.done(&scene.run("one").await);
        one
    };
    if !scene.done(&first) {
        scene.repeat(&Some(first)).await;
    }
    scene.settle().await;
    assert_eq!(scene.sound().await, expected(operation));
    scene.clear(&stacks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_fails_anywhere_ends_as_it_should() {
    assert_every_case("vaults: edits", &EDITS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_fails_anywhere_ends_as_it_should() {
    assert_every_case("vaults: connecting", &CONNECTING).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnection_or_a_renewal_that_fails_anywhere_ends_as_it_should() {
    assert_every_case("vaults: disconnecting", &DISCONNECTING).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_anywhere_ends_as_it_should() {
    assert_every_case("vaults: syncs", &SYNCS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_fails_anywhere_ends_as_it_should() {
    assert_every_case("vaults: jobs", &JOBS).await;
}
