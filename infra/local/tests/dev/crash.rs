//! `kill -9` in the middle of concurrent writes: what was acknowledged is there, and nothing is half there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::process::{Client, Stack};

const WRITERS: usize = 8;
/// After how many acknowledged writes the process is killed.
const ENOUGH: usize = 60;

/// What an integration must be: any of these states, the acknowledged one first. A state is its name and its secret;
/// `None` is its absence.
type States = Vec<Option<(String, String)>>;

#[derive(Default)]
struct Ledger {
    states: Mutex<BTreeMap<String, States>>,
    acknowledged: AtomicUsize,
    enough: Notify,
}

impl Ledger {
    /// The write that is begun next may or may not happen.
    fn begun(&self, id: &str, state: Option<(String, String)>) {
        self.states.lock().unwrap().get_mut(id).unwrap().push(state);
    }

    /// From now on this is the only state that it may have.
    fn acknowledged(&self, id: &str, state: Option<(String, String)>) {
        self.states.lock().unwrap().insert(id.to_owned(), vec![state]);
        if self.acknowledged.fetch_add(1, Ordering::SeqCst) + 1 == ENOUGH {
            self.enough.notify_one();
        }
    }
}

fn webhook_url(secret: &str) -> String {
    format!("https://hooks.slack.com/services/T1/B1/{secret}")
}

/// Creates, changes and deletes until no answer comes any more.
async fn write(services: Client, writer: usize, ledger: Arc<Ledger>) {
    for round in 0.. {
        let (name, secret) = (format!("{writer}-{round}"), webhook_url(&format!("first{writer}x{round}")));
        let create = json!({ "name": name, "type": "slack", "config": { "webhookUrl": secret } });
        let Some((201, created)) = services.send("POST", "", Some(create)).await else { return };
        let id = created["id"].as_str().unwrap();
        ledger.acknowledged(id, Some((name, secret)));

        let (name, secret) = (format!("{writer}-{round} changed"), webhook_url(&format!("second{writer}x{round}")));
        ledger.begun(id, Some((name.clone(), secret.clone())));
        let change = json!({ "name": name, "config": { "webhookUrl": secret } });
        let Some((200, _)) = services.send("PUT", &format!("/{id}"), Some(change)).await else { return };
        ledger.acknowledged(id, Some((name, secret)));

        if round % 2 == 1 {
            ledger.begun(id, None);
            let Some((200, _)) = services.send("DELETE", &format!("/{id}"), None).await else { return };
            ledger.acknowledged(id, None);
        }
    }
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_and_nothing_is_half_there() {
    let folder = tempfile::tempdir().unwrap();
    let first = Stack::start(folder.path()).await;
    let tenants = first.file["tenants"].clone();
    let ledger = Arc::new(Ledger::default());
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(first.services(), writer, Arc::clone(&ledger)));
    }
    ledger.enough.notified().await;
    first.kill().await;
    writers.join_all().await;

    let second = Stack::start(folder.path()).await;
    assert_eq!(second.file["tenants"], tenants);
    let services = second.services();
    let states = std::mem::take(&mut *ledger.states.lock().unwrap());
    assert!(states.len() >= WRITERS);
    for (id, allowed) in &states {
        let state = match services.send("GET", &format!("/{id}"), None).await.unwrap() {
            (200, read) => {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                Some((text(&read["name"]), text(&read["config"]["webhookUrl"])))
            }
            (404, _) => None,
            other => panic!("{id}: {other:?}"),
        };
        assert!(allowed.contains(&state), "{id} is {state:?}, not one of {allowed:?}");
    }
    // A creation whose answer was lost may have happened too: whole, or not at all.
    let listed = services.expect(200, "GET", "?limit=100", None).await;
    for row in listed["data"].as_array().unwrap() {
        let id = row["id"].as_str().unwrap();
        let read = services.expect(200, "GET", &format!("/{id}"), None).await;
        assert!(read["config"]["webhookUrl"].is_string(), "{read}");
    }
    services.create_slack("after the crash", &webhook_url("after")).await;
}
