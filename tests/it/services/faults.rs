//! AWS fails at every step of every operation in turn, in every way, and nothing is lost, mixed up or left behind.
//!
//! Each operation runs once to learn the calls it makes. Then, for each call and each fault, it runs again: once with the
//! fault striking that call alone, so that the SDK's repetition meets what the first attempt may have done, and once with
//! the fault striking from that call on, as if the function had died there. Afterwards the fault is gone, and what a user
//! may rely on is checked. Each step has a stack of its own. The table of outcomes goes to standard output.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;

use futures::StreamExt;
use kit::fault_proxy::{Call, Fault};
use kit::{Answer, Client, TestApp};
use serde_json::{Value, json};

use crate::secrets;

/// Stacks that run at the same time. Most of a case is waiting: for the pause before a repetition, or for a timeout.
const AT_ONCE: usize = 12;
/// Longer than anything is remembered, and than a request that died holds its idempotency key.
const A_WHILE: i64 = 61;
const TWO_HOURS: i64 = 7_200;

/// `Stall` runs into the SDK's timeout of 3 s an attempt, so it only ever strikes once.
const FAULTS: [(&str, Fault); 6] = [
    ("refuse", Fault::Refuse),
    ("reset", Fault::Reset),
    ("throttle", Fault::Throttle),
    ("error", Fault::ServerError),
    ("lost", Fault::LoseAnswer),
    ("stall", Fault::Stall),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    /// The sweep finds what is left of it before the client tries again.
    Create,
    /// The client tries again before the sweep comes.
    CreateAndRepeat,
    ChangeSecret,
    ChangePlain,
    RemoveSecret,
    AddSecret,
    Delete,
    Test,
}

const OPERATIONS: [Operation; 8] = [
    Operation::Create,
    Operation::CreateAndRepeat,
    Operation::ChangeSecret,
    Operation::ChangePlain,
    Operation::RemoveSecret,
    Operation::AddSecret,
    Operation::Delete,
    Operation::Test,
];

/// An integration as its owner sees it, ids and times left out. `None` if there is none.
type View = Option<Value>;

/// A stack on which an operation is about to run.
struct Scene {
    app: TestApp,
    operation: Operation,
    services: Client,
    idempotency_key: String,
    id: String,
}

impl Scene {
    async fn set(app: TestApp, operation: Operation) -> Self {
        let services = app.services();
        let idempotency_key = app.platform.ids.uuid().to_string();
        let mut scene = Self { app, operation, services, idempotency_key, id: String::new() };
        if !matches!(operation, Operation::Create | Operation::CreateAndRepeat) {
            let created = scene.services.post("/api/integrations", &scene.first()).await;
            let _ = created.expect(201);
            scene.id = created.str("/id");
        }
        if operation == Operation::AddSecret {
            let _ = scene.put(&json!({ "config": { "signingSecret": null } })).await.expect(200);
        }
        scene.app.advance(A_WHILE);
        scene.app.proxy.forget_calls();
        scene
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.app.fakes.webhook.host.origin())
    }

    fn first(&self) -> Value {
        let config = json!({ "url": self.url("/first"), "signingSecret": "the first secret" });
        json!({ "name": "first", "type": "webhook", "config": config })
    }

    async fn put(&self, body: &Value) -> Answer {
        self.services.put(&format!("/api/integrations/{}", self.id), body).await
    }

    /// Runs the operation: the same request each time, with the same idempotency key where one is taken.
    async fn run(&self) -> Answer {
        let keyed = || self.services.clone().header("idempotency-key", &self.idempotency_key);
        let with_secret = |secret: Value| json!({ "name": "second", "config": { "url": self.url("/second"), "signingSecret": secret } });
        match self.operation {
            Operation::Create | Operation::CreateAndRepeat => keyed().post("/api/integrations", &self.first()).await,
            Operation::ChangeSecret | Operation::AddSecret => self.put(&with_secret("the second secret".into())).await,
            Operation::RemoveSecret => self.put(&with_secret(Value::Null)).await,
            Operation::ChangePlain => {
                self.put(&json!({ "name": "second", "config": { "url": self.url("/second") } })).await
            }
            Operation::Delete => self.services.delete(&format!("/api/integrations/{}", self.id)).await,
            Operation::Test => keyed().post_empty(&format!("/api/integrations/{}/test", self.id)).await,
        }
    }

    /// What there is now. Whatever the list shows can be read, secrets and all.
    async fn view(&self) -> View {
        self.app.advance(A_WHILE);
        let list = self.services.get("/api/integrations").await.expect(200);
        let rows = list["data"].as_array().unwrap();
        assert!(rows.len() <= 1, "one creation, {} integrations", rows.len());
        let id = rows.first()?["id"].as_str().unwrap();
        let shown = self.services.get(&format!("/api/integrations/{id}")).await.expect(200);
        let config = shown["config"].to_string().replace(&self.url(""), "");
        Some(json!([shown["name"], config, shown["storedSecretKeys"], shown["lastTest"]["verdict"]]))
    }

    /// Two hours later the sweep has left one secret for each integration that has one, and of its versions the named one.
    async fn sweep(&self) {
        let swept = self.app.invoke("sweep", &self.app.scheduled_event_in(TWO_HOURS)).await;
        assert_eq!(swept.header("x-amz-function-error"), None, "{}", swept.text);
        secrets::assert_tidy(&self.app).await;
    }

    /// Leaves the stack as it was.
    async fn clear(self) -> TestApp {
        let list = self.services.get("/api/integrations").await.expect(200);
        for row in list["data"].as_array().unwrap() {
            let path = format!("/api/integrations/{}", row["id"].as_str().unwrap());
            let _ = self.services.delete(&path).await.expect(200);
        }
        self.app
    }
}

/// The calls by which an operation changes something.
const WRITES: [&str; 7] = [
    "CreateSecret",
    "DeleteItem",
    "DeleteSecret",
    "PutItem",
    "PutSecretValue",
    "RestoreSecret",
    "UpdateSecretVersionStage",
];

/// What became of an operation under a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Answered with success, and done.
    Done,
    /// Answered with failure, and not done.
    Old,
    /// Answered with failure although it was done: the answer was lost.
    New,
    Broken,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Done => "done",
            Self::Old => "old",
            Self::New => "new",
            Self::Broken => "BROKEN",
        })
    }
}

/// What an operation does when nothing fails.
#[derive(Debug, Clone)]
struct Course {
    operation: Operation,
    steps: Vec<String>,
    before: View,
    after: View,
}

impl Course {
    async fn learn(operation: Operation) -> Self {
        let scene = Scene::set(TestApp::start().await, operation).await;
        let before = scene.view().await;
        scene.app.advance(A_WHILE);
        scene.app.proxy.forget_calls();
        let answer = scene.run().await;
        assert!(answer.status.is_success(), "{}", answer.text);
        let steps = scene.app.proxy.operations();
        let after = scene.view().await;
        assert_ne!(before, after, "{operation:?} does nothing");
        scene.sweep().await;
        assert_eq!(scene.view().await, after);
        Self { operation, steps, before, after }
    }
}

/// One operation with one fault at one step.
#[derive(Debug, Clone)]
struct Case {
    course: Course,
    step: usize,
    fault: usize,
    always: bool,
}

impl Case {
    /// Every case of one step: first those that the SDK may heal, as it does so less and less often the more fails.
    fn of(course: &Course, step: usize) -> Vec<Self> {
        let lasting = FAULTS.iter().position(|(name, _)| *name == "stall").unwrap();
        let once = (0..FAULTS.len()).map(|fault| (fault, false));
        let always = (0..FAULTS.len()).filter(|fault| *fault != lasting).map(|fault| (fault, true));
        let cases = once.chain(always);
        cases.map(|(fault, always)| Self { course: course.clone(), step, fault, always }).collect()
    }

    fn place(&self) -> Place {
        (self.course.operation, self.step, self.fault, self.always)
    }

    async fn run(self, app: TestApp) -> (Outcome, TestApp) {
        let Course { operation, before, after, .. } = self.course;
        let (name, fault) = FAULTS[self.fault].clone();
        let scene = Scene::set(app, operation).await;
        let injected = scene.app.proxy.inject(fault).at_step(self.step);
        let injected = if self.always { injected.always() } else { injected };
        let answer = scene.run().await;
        assert!(injected.strikes() > 0, "the fault struck nothing");
        scene.app.proxy.clear();
        let struck = |call: &Call| call.fault.is_some() && WRITES.contains(&call.operation.as_str());
        let may_have_left_something = scene.app.proxy.calls().iter().any(struck);
        let now = scene.view().await;
        let outcome = if answer.status.is_success() {
            assert_eq!(now, after, "answered {}, but it is not there", answer.status);
            Outcome::Done
        } else {
            let body = answer.expect(500);
            assert_eq!(body["error"], "internal_error");
            assert!(body["request_id"].is_string());
            if now == before {
                Outcome::Old
            } else {
                assert_eq!(now, after, "neither the old state nor the new one");
                assert_eq!(name, "lost", "what was not delivered cannot have been done");
                Outcome::New
            }
        };
        if !may_have_left_something {
            return (outcome, scene.clear().await);
        }
        secrets::assert_kept(&scene.app).await;
        if operation != Operation::CreateAndRepeat {
            scene.sweep().await;
            assert_eq!(scene.view().await, now, "the sweep changed what a user sees");
        }
        let again = scene.run().await;
        let gone = operation == Operation::Delete && now.is_none() && again.status == 404;
        assert!(again.status.is_success() || gone, "{}", again.text);
        scene.sweep().await;
        assert_eq!(scene.view().await, after, "the repeated request did not end where the first should have");
        (outcome, scene.clear().await)
    }
}

/// An operation, a step, a fault, and whether it lasts.
type Place = (Operation, usize, usize, bool);

/// Runs cases one after the other on one stack; after a broken one on a fresh one.
async fn run_on_one_stack(cases: Vec<Case>) -> Vec<(Place, Outcome)> {
    let mut outcomes = Vec::new();
    let mut app = None;
    for case in cases {
        let stack = match app.take() {
            Some(app) => app,
            None => TestApp::start().await,
        };
        let place = case.place();
        let outcome = match tokio::spawn(case.run(stack)).await {
            Ok((outcome, stack)) => {
                app = Some(stack);
                outcome
            }
            Err(_) => Outcome::Broken,
        };
        outcomes.push((place, outcome));
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_wherever_nothing_is_lost_mixed_up_or_left_behind() {
    let courses: Vec<Course> =
        futures::stream::iter(OPERATIONS).map(Course::learn).buffered(OPERATIONS.len()).collect().await;
    let steps: Vec<Vec<Case>> =
        courses.iter().flat_map(|course| (1..=course.steps.len()).map(|step| Case::of(course, step))).collect();
    let outcomes: Vec<Vec<(Place, Outcome)>> =
        futures::stream::iter(steps).map(run_on_one_stack).buffer_unordered(AT_ONCE).collect().await;
    let outcomes: BTreeMap<Place, Outcome> = outcomes.into_iter().flatten().collect();
    print(&courses, &outcomes).unwrap();
    let broken: Vec<String> = outcomes
        .iter()
        .filter(|(_, outcome)| **outcome == Outcome::Broken)
        .map(|((operation, step, fault, always), _)| {
            format!("{operation:?}, step {step}, {}{}", FAULTS[*fault].0, if *always { " from there on" } else { "" })
        })
        .collect();
    assert!(broken.is_empty(), "{} of {} cases:\n{}", broken.len(), outcomes.len(), broken.join("\n"));
}

/// A first attempt is held up on its way, the SDK's second does the work, the integration is changed once more, and only
/// then does the first arrive.
async fn arrives_late(course: Course, step: usize) {
    let Course { operation, after, .. } = course;
    let scene = Scene::set(TestApp::start().await, operation).await;
    let held = scene.app.proxy.inject(Fault::Hold).at_step(step);
    let answer = scene.run().await;
    assert!(answer.status.is_success(), "{}", answer.text);
    assert_eq!(held.strikes(), 1);
    let mut expected = after;
    if expected.is_some() {
        let id = scene.services.get("/api/integrations").await.str("/data/0/id");
        let third = json!({ "name": "third", "config": { "signingSecret": "the third secret" } });
        let _ = scene.services.put(&format!("/api/integrations/{id}"), &third).await.expect(200);
        expected = scene.view().await;
        assert_eq!(expected.as_ref().unwrap()[0], "third");
    }
    held.release();
    while scene.app.proxy.calls().iter().any(|call| call.fault.is_some() && call.answer.is_none()) {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.view().await, expected, "a late call undid a later change");
    scene.sweep().await;
    assert_eq!(scene.view().await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_arrives_long_after_it_was_given_up_undoes_nothing() {
    let courses: Vec<Course> =
        futures::stream::iter(OPERATIONS).map(Course::learn).buffered(OPERATIONS.len()).collect().await;
    let mut late = Vec::new();
    for course in courses {
        for (at, _) in course.steps.iter().enumerate().filter(|(_, step)| WRITES.contains(&step.as_str())) {
            late.push(tokio::spawn(arrives_late(course.clone(), at + 1)));
        }
    }
    assert!(late.len() > 15);
    futures::future::join_all(late).await.into_iter().for_each(|case| case.unwrap());
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_keeps_its_secret_when_another_change_follows() {
    let scene = Scene::set(TestApp::start().await, Operation::ChangeSecret).await;
    // The first attempt writes, and its repetition meets what somebody else has made of it.
    scene.app.proxy.inject(Fault::LoseAnswer).on("PutItem").nth(1);
    let repetition = scene.app.proxy.inject(Fault::Hold).on("PutItem").nth(2);
    let renaming = async {
        repetition.struck().await;
        let renamed = scene.put(&json!({ "name": "third" })).await;
        repetition.release();
        renamed
    };
    let (changed, renamed) = tokio::join!(scene.run(), renaming);
    assert_eq!((changed.status.as_u16(), renamed.status.as_u16()), (200, 200));
    scene.app.proxy.clear();
    secrets::assert_kept(&scene.app).await;
    let view = scene.view().await;
    scene.sweep().await;
    assert_eq!(scene.view().await, view);
}

#[tokio::test]
async fn a_creation_that_was_done_although_it_was_refused_can_be_read() {
    let scene = Scene::set(TestApp::start().await, Operation::Create).await;
    // The first attempt writes the item, and its repetitions are refused: for all that can be known it was not written.
    scene.app.proxy.inject(Fault::LoseAnswer).on("PutItem").nth(2);
    scene.app.proxy.inject(Fault::Throttle).on("PutItem").nth(3).always();
    let refused = scene.run().await;
    assert_eq!(refused.status.as_u16(), 500);
    scene.app.proxy.clear();
    let view = scene.view().await;
    assert!(view.is_some());
    scene.sweep().await;
    assert_eq!(scene.view().await, view);
    let again = scene.run().await;
    assert_eq!(again.status.as_u16(), 201, "{}", again.text);
    assert_eq!(scene.view().await, view);
}

/// Past libtest, which keeps what a passing test prints to itself.
fn print(courses: &[Course], outcomes: &BTreeMap<Place, Outcome>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nEach cell: the fault strikes that call alone / that call and every later one.")?;
    writeln!(out, "done: answered with success; old, new: answered with failure, and what was found afterwards.")?;
    write!(out, "{:<32}", "")?;
    FAULTS.iter().try_for_each(|(name, _)| write!(out, "{name:<11}"))?;
    for course in courses {
        write!(out, "\n{:?}", course.operation)?;
        for (at, step) in course.steps.iter().enumerate() {
            write!(out, "\n{:>4} {step:<27}", at + 1)?;
            for fault in 0..FAULTS.len() {
                let cell = |always| outcomes.get(&(course.operation, at + 1, fault, always)).map(Outcome::to_string);
                let cell: Vec<String> = [cell(false), cell(true)].into_iter().flatten().collect();
                write!(out, "{:<11}", cell.join("/"))?;
            }
        }
    }
    writeln!(out)
}
