//! What reads cost: a page is one Query over that page, however much a tenant has.

use std::cell::Cell;
use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use kit::fault_proxy::Call;
use kit::{Client, TestApp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};
use shared::auth::Permission;

use super::fixtures::{bare_webhook, client, connect, item, resend, sendgrid};

/// Fills a tenant up to `total` integrations, half of them of each of two types, with copies of two that were created.
async fn fill(app: &TestApp, tenant: &str, total: usize) {
    let services = client(app, tenant, Permission::ALL).await;
    let mut originals = Vec::new();
    for body in [resend("Mail of a team"), sendgrid("Mail of a team")] {
        let id = connect(&services, &body).await;
        originals.push((id.clone(), item(app, tenant, &id).await.unwrap(), body["type"].as_str().unwrap().to_owned()));
    }
    let text = AttributeValue::S;
    let copies: Vec<WriteRequest> = (2..total)
        .map(|number| {
            let (id, item, kind) = &originals[number % 2];
            let id = format!("{}{number:012}", &id[..13]);
            let mut item = item.clone();
            item.insert("sk".into(), text(format!("I#{id}")));
            item.insert("kind_order".into(), text(format!("{kind}#{id}")));
            item.insert("id".into(), text(id));
            WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build().unwrap()).build()
        })
        .collect();
    for batch in copies.chunks(25) {
        let written = app.table.batch_write_item().request_items("causeway", batch.to_vec()).send().await.unwrap();
        assert!(written.unprocessed_items.unwrap_or_default().is_empty());
    }
}

/// The calls to AWS that `path` made, and its body.
async fn calls(app: &TestApp, services: &Client, path: &str) -> (Vec<Call>, Value) {
    app.proxy.forget_calls();
    let body = services.get(path).await.expect(200);
    (app.proxy.calls(), body)
}

#[tokio::test]
async fn a_first_page_is_one_query_that_costs_the_same_for_25_and_for_2000() {
    let app = TestApp::start().await;
    fill(&app, "acme", 25).await;
    fill(&app, "globex", 2_000).await;
    for (path, index) in
        [("/api/integrations?limit=10", None), ("/api/integrations?limit=10&type=sendgrid", Some("by_kind"))]
    {
        let mut costs = Vec::new();
        for tenant in ["acme", "globex"] {
            let services = app.services_as(&app.tenant(tenant).tokens.admin);
            // The signing key of cursors is read once in a process.
            let _ = services.get(path).await.expect(200);
            let (calls, body) = calls(&app, &services, path).await;
            assert_eq!(body["data"].as_array().unwrap().len(), 10);
            let [query] = calls.as_slice() else { panic!("{calls:?}") };
            assert_eq!(query.operation, "Query");
            assert_eq!(query.request["IndexName"].as_str(), index);
            assert_eq!((&query.request["Limit"], &query.request["ConsistentRead"]), (&json!(11), &json!(true)));
            assert!(query.request.get("FilterExpression").is_none(), "a filter reads more than it shows");
            costs.push(query.consumed());
        }
        assert_eq!(costs[0], costs[1], "{path}");
        assert!((1.0..=4.0).contains(&costs[0]), "11 small items, read consistently: {costs:?}");
    }
}

#[tokio::test]
async fn a_token_that_was_not_seen_lately_costs_one_look_up_more() {
    let app = TestApp::start().await;
    fill(&app, "acme", 25).await;
    let services = client(&app, "acme", &[Permission::ServicesRead]).await;
    let (calls, _) = calls(&app, &services, "/api/integrations").await;
    let operations: Vec<_> = calls.iter().map(|call| call.operation.as_str()).collect();
    assert_eq!(operations, ["GetItem", "Query"]);
    assert!(calls[0].request["Key"]["pk"]["S"].as_str().unwrap().starts_with("TOKEN#"));
    assert!(calls[0].consumed() <= 1.0, "{}", calls[0].consumed());
}

#[tokio::test]
async fn every_page_costs_what_the_first_one_does() {
    let app = TestApp::start().await;
    fill(&app, "acme", 95).await;
    let services = app.services();
    // The token is looked up, and the signing key of cursors read.
    let _ = services.get("/api/integrations?limit=1").await.expect(200);
    for (filter, pages) in [("", 10), ("&type=resend", 5)] {
        let mut costs = Vec::new();
        let mut cursor = String::new();
        for page in 1..=pages {
            let path = format!("/api/integrations?limit=10{filter}{cursor}");
            let (calls, body) = calls(&app, &services, &path).await;
            let [query] = calls.as_slice() else { panic!("{calls:?}") };
            assert_eq!(query.operation, "Query");
            costs.push(query.consumed());
            assert_eq!(body.get("nextCursor").is_some(), page < pages);
            cursor = format!("&cursor={}", body["nextCursor"].as_str().unwrap_or_default());
        }
        assert!(costs.iter().all(|cost| *cost <= costs[0]), "{costs:?}");
    }
}

#[tokio::test]
async fn one_integration_without_its_secrets_is_one_read_and_no_call_to_secrets_manager() {
    let app = TestApp::start().await;
    let id = connect(&app.services(), &resend("Mail")).await;
    let path = format!("/api/integrations/{id}");
    let reader = app.services_as(&app.tenant("acme").tokens.read_only);
    let _ = reader.get(&path).await.expect(200);
    let (seen, body) = calls(&app, &reader, &path).await;
    assert_eq!(seen.iter().map(|call| call.operation.as_str()).collect::<Vec<_>>(), ["GetItem"]);
    assert!(seen[0].consumed() <= 1.0);
    assert!(body["config"].get("apiKey").is_none());

    let (seen, body) = calls(&app, &app.services(), &path).await;
    assert_eq!(seen.iter().map(|call| call.operation.as_str()).collect::<Vec<_>>(), ["GetItem", "GetSecretValue"]);
    assert_eq!(body["config"]["apiKey"], "re_of_the_operations_team");
    let (seen, _) = calls(&app, &app.services(), &path).await;
    assert_eq!(seen.len(), 1, "the secret is remembered for a minute");
    app.advance(61);
    let _ = app.services().get("/api/integrations").await.expect(200);
    let (seen, _) = calls(&app, &app.services(), &path).await;
    assert_eq!(seen.len(), 2, "and not for longer");
}

#[tokio::test]
async fn what_has_no_secret_needs_no_secrets_manager_to_be_shown_whole() {
    let app = TestApp::start().await;
    let services = app.services();
    let id = connect(&services, &bare_webhook(&app, "Hook")).await;
    let (seen, body) = calls(&app, &services, &format!("/api/integrations/{id}")).await;
    assert_eq!(seen.iter().map(|call| call.operation.as_str()).collect::<Vec<_>>(), ["GetItem"]);
    assert_eq!(body["config"]["url"], app.demo.webhook_url);
}

/// What happens between two pages of a walk.
#[derive(Debug, Clone, Copy)]
enum Between {
    Insert { of_the_type: bool },
    Delete { which: prop::sample::Index },
    TimePasses,
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        any::<bool>().prop_map(|of_the_type| Between::Insert { of_the_type }),
        any::<prop::sample::Index>().prop_map(|which| Between::Delete { which }),
        Just(Between::TimePasses),
    ]
}

/// Integrations that are there, by id, with when they were created and whether they are of the type walked through.
type There = BTreeMap<String, (String, bool)>;

struct Walk<'a> {
    app: &'a TestApp,
    services: Client,
    there: There,
}

impl Walk<'_> {
    async fn insert(&mut self, of_the_type: bool) {
        let body = if of_the_type { bare_webhook(self.app, "Hook") } else { resend("Mail") };
        let created = self.services.post("/api/integrations", &body).await;
        let _ = created.expect(201);
        self.there.insert(created.str("/id"), (created.str("/createdAt"), of_the_type));
    }

    async fn meanwhile(&mut self, event: Between) {
        match event {
            Between::Insert { of_the_type } => self.insert(of_the_type).await,
            Between::TimePasses => self.app.advance(1),
            Between::Delete { which } if !self.there.is_empty() => {
                let id = which.get(&self.there.keys().cloned().collect::<Vec<_>>()).clone();
                let _ = self.services.delete(&format!("/api/integrations/{id}")).await.expect(200);
                self.there.remove(&id);
            }
            Between::Delete { .. } => {}
        }
    }

    /// Walks from the first page to the last, with things happening in between.
    async fn go(mut self, limit: usize, by_type: bool, events: &[Vec<Between>]) -> Result<(), TestCaseError> {
        let at_first = self.there.clone();
        let mut seen: Vec<(String, String)> = Vec::new();
        let mut events = events.iter();
        let mut cursor = String::new();
        loop {
            let filter = if by_type { "&type=webhook" } else { "" };
            let page = self.services.get(&format!("/api/integrations?limit={limit}{filter}{cursor}")).await;
            let body = page.expect(200);
            let rows = body["data"].as_array().unwrap();
            prop_assert!(rows.len() <= limit);
            prop_assert!(seen.len() < 100, "it never ends: {:?}", seen);
            for row in rows {
                let id = row["id"].as_str().unwrap().to_owned();
                prop_assert!(self.there.contains_key(&id), "{id} is shown and is not there");
                seen.push((row["createdAt"].as_str().unwrap().to_owned(), id));
            }
            let Some(next) = body.get("nextCursor").and_then(Value::as_str) else { break };
            prop_assert_eq!(rows.len(), limit, "only a last page is not full");
            cursor = format!("&cursor={next}");
            for event in events.next().into_iter().flatten() {
                self.meanwhile(*event).await;
            }
        }
        prop_assert!(seen.is_sorted_by(|one, other| one < other), "in order, and nothing twice: {:?}", seen);
        for (id, (created_at, of_the_type)) in at_first {
            if self.there.contains_key(&id) && (!by_type || of_the_type) {
                prop_assert!(seen.contains(&(created_at, id.clone())), "{} was there all the time", id);
            }
        }
        let of_the_type = |id: &String| self.there.get(id).is_none_or(|(_, of_the_type)| *of_the_type);
        prop_assert!(!by_type || seen.iter().all(|(_, id)| of_the_type(id)));
        Ok(())
    }
}

#[test]
fn a_walk_gives_every_integration_once_and_in_order_whatever_happens_in_between() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let app = runtime.block_on(TestApp::start());
    let cases = (
        prop::collection::vec((any::<bool>(), any::<bool>()), 0..14),
        1..6_usize,
        any::<bool>(),
        prop::collection::vec(prop::collection::vec(between(), 0..4), 0..8),
    );
    let walks = Cell::new(0);
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&cases, |(first, limit, by_type, events)| {
        // A tenant of its own for each walk.
        walks.set(walks.get() + 1);
        let tenant = format!("walker-{}", walks.get());
        runtime.block_on(async {
            let mut walk =
                Walk { app: &app, services: client(&app, &tenant, Permission::ALL).await, there: There::new() };
            for (of_the_type, time_passes) in first {
                walk.insert(of_the_type).await;
                app.advance(i64::from(time_passes));
            }
            walk.go(limit, by_type, &events).await
        })
    });
    outcome.unwrap();
}
