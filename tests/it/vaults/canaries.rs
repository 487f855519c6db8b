//! Values of vaults and tokens of platforms go nowhere but to Secrets Manager, to their platform, and to who may see them.
//!
//! Every value, token, code, state and key for idempotency is a canary, and looked for afterwards in everything that was
//! answered, logged and stored.

use fakes::platforms::railway::RailwayReach;
use fakes::platforms::vercel::VercelRecord;
use fakes::{Answer as Reply, Fault as PlatformFault, Host};
use http::{Method, StatusCode};
use kit::fault_proxy::Fault;
use kit::{Answer, Client, TestApp};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::clock::Ids;
use vaults::connect::Grant;
use vaults::model::Way;
use vaults::providers::{Change, Contents, Held, Session, Tokens, Variable};
use vaults::store::{Edit, Values};

use super::authorize::decide;
use super::fixtures::{CONNECTIONS, ENVIRONMENT, SECRETS, SYNC, asks, at_vercel, reach, set_at_vercel, values};
use crate::canaries::{Canaries, assert_kept};

const CONNECT: &str = "/v1/integrations/vercel/connect";

/// An answer without canaries.
#[track_caller]
fn seen(canaries: &Canaries, answer: Answer, what: &str) -> Answer {
    canaries.assert_absent(&answer.text, what);
    canaries.assert_absent(&format!("{:?}", answer.headers), what);
    answer
}

fn keyed(client: &Client, key: &str) -> Client {
    client.clone().header("idempotency-key", key)
}

/// Whatever can be had without the permission to see values.
async fn look(app: &TestApp, canaries: &Canaries) {
    let reader = app.vaults_as(&app.tenant("acme").tokens.read_only);
    let listed = seen(canaries, reader.get(CONNECTIONS).await, "connections").expect(200);
    let mut paths: Vec<String> = ["/v1/integrations", "/v1/vaults", SECRETS].into_iter().map(str::to_owned).collect();
    paths.extend(["history", "links"].map(|list| format!("{SYNC}/{list}")));
    paths.push(format!("{ENVIRONMENT}/versions"));
    for connection in listed["data"]["connections"].as_array().unwrap() {
        let id = connection["id"].as_str().unwrap();
        paths.push(format!("{CONNECTIONS}/{id}/projects"));
        let query = format!("connectionId={id}&projectId=prj_1");
        paths.extend(["status", "preview", "diff"].map(|one| format!("{SYNC}/{one}?{query}")));
        paths.extend(["preview", "diff"].map(|one| format!("{SYNC}/{one}?{query}&direction=pull")));
    }
    for path in paths {
        seen(canaries, reader.get(&path).await, &path);
    }
}

/// A stack with the project, and Vercel connected with a canary; with the connection's id.
async fn connected(canaries: &mut Canaries) -> (TestApp, String) {
    let app = TestApp::start().await;
    app.fakes.vercel.add_project("prj_1", "another", "team_sandbox");
    let (token, key) = (canaries.plant(&app), canaries.plant(&app));
    app.fakes.vercel.add_token(&token, reach());
    let body = json!({ "token": token, "account": "team_sandbox" });
    let mut id = String::new();
    for what in ["connect", "the same replayed"] {
        let answer = seen(canaries, keyed(&app.vaults(), &key).post(CONNECT, &body).await, what);
        let _ = answer.expect(201);
        id = answer.str("/data/id");
    }
    let stored = app.secrets.get_secret_value().secret_id(format!("causeway/acme/vaults/{id}")).send().await.unwrap();
    assert!(stored.secret_string().unwrap().contains(&token), "it rests where it belongs");
    (app, id)
}

async fn run(app: &TestApp, canaries: &Canaries, function: &str) -> Value {
    let ran = seen(canaries, app.invoke(function, &app.scheduled_event()).await, function);
    ran.expect(200)
}

#[tokio::test]
async fn a_whole_life_of_a_vault_and_a_connection_shows_no_secret() {
    let mut canaries = Canaries::default();
    let (app, id) = connected(&mut canaries).await;
    let vaults = app.vaults();
    let [one, two, changed, theirs, hidden] = [(); 5].map(|()| canaries.plant(&app));
    set_at_vercel(&app, "CHANGED", &theirs);
    app.fakes.vercel.add_record("prj_1", VercelRecord::sensitive("HIDDEN", &hidden, &["production"]));
    let secrets = json!({ "ONE": one, "CHANGED": changed, "HIDDEN": hidden });
    let _ = seen(&canaries, vaults.put(SECRETS, &secrets).await, "put").expect(200);
    let _ = seen(&canaries, vaults.patch(SECRETS, &json!({ "TWO": two })).await, "patch").expect(200);
    look(&app, &canaries).await;

    // They are where they belong: with who may see them, and after a push at the platform.
    assert_eq!(values(&vaults).await["TWO"], two.as_str());
    let key = canaries.plant(&app);
    for what in ["push", "the same replayed"] {
        let pushed = seen(&canaries, keyed(&vaults, &key).post(SYNC, &asks(&id, json!({}))).await, what);
        assert_eq!(pushed.expect(200)["data"]["status"], "success", "{}", pushed.text);
    }
    assert_eq!(at_vercel(&app), values(&vaults).await);
    look(&app, &canaries).await;

    // A name that the platform refuses, a pull, a rollback.
    app.fakes.vercel.refuse_name("THREE", "forbidden_name");
    let three = json!({ "THREE": canaries.plant(&app) });
    let _ = seen(&canaries, vaults.patch(SECRETS, &three).await, "patch").expect(200);
    let failed = seen(&canaries, vaults.post(SYNC, &asks(&id, json!({}))).await, "a push that fails");
    assert_eq!(failed.expect(200)["data"]["failed"][0]["key"], "THREE");
    let pulled = canaries.plant(&app);
    set_at_vercel(&app, "PULLED", &pulled);
    let body = asks(&id, json!({ "direction": "pull" }));
    let _ = seen(&canaries, keyed(&vaults, &pulled).post(SYNC, &body).await, "pull").expect(200);
    assert_eq!(values(&vaults).await["PULLED"], pulled.as_str());
    let rollback = format!("{ENVIRONMENT}/rollback");
    let _ = seen(&canaries, keyed(&vaults, &pulled).post(&rollback, &json!({ "version": 1 })).await, "rollback");
    look(&app, &canaries).await;

    // A link that pushes by itself, and finds what somebody else changed.
    let body = asks(&id, json!({ "auto": true, "allowDelete": true }));
    let _ = seen(&canaries, vaults.put(&format!("{SYNC}/links"), &body).await, "links").expect(200);
    assert_eq!(run(&app, &canaries, "vaults-sync").await["pushed"], 1);
    let record = app.fakes.vercel.records("prj_1")[0].id.clone();
    app.fakes.vercel.edit("prj_1", &record, &canaries.plant(&app));
    app.advance(86_400);
    assert_eq!(run(&app, &canaries, "vaults-sync").await["pushed"], 1);
    look(&app, &canaries).await;
    let token = canaries.plant(&app);
    app.fakes.vercel.add_token(&token, reach());
    let body = json!({ "token": token, "connectionId": id });
    let _ = seen(&canaries, vaults.post(CONNECT, &body).await, "connect again").expect(201);
    let swept = app.invoke("sweep", &app.scheduled_event_in(7_200)).await;
    let _ = seen(&canaries, swept, "sweep").expect(200);
    assert_kept(&app, &canaries).await;
    let _ = seen(&canaries, vaults.delete(&format!("{CONNECTIONS}/{id}")).await, "delete").expect(204);
    assert_kept(&app, &canaries).await;
}

/// The address of Railway's page of consent, its state being a canary.
async fn page(app: &TestApp, canaries: &mut Canaries) -> String {
    let vaults = app.vaults().header("accept", "application/json");
    let page = vaults.get("/v1/integrations/railway/authorize").await.str("/data/authorizationUrl");
    let url = url::Url::parse(&page).unwrap();
    let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.to_ascii_lowercase();
    canaries.0.push(state);
    page
}

/// Codes and tokens of Railway begin with a canary from now on.
fn mark(app: &TestApp, canaries: &mut Canaries) {
    app.fakes.railway.mark(&canaries.plant(app));
}

fn consent_at_railway(app: &TestApp) {
    app.fakes.railway.add_workspace("ws_1", "Acme");
    app.fakes.railway.consent_as(RailwayReach::Grant {
        user: "user_1".into(),
        workspaces: vec!["ws_1".into()],
        projects: Vec::new(),
        writes: true,
    });
}

#[tokio::test]
async fn a_whole_life_of_an_oauth_grant_shows_no_token() {
    let app = TestApp::start().await;
    let mut canaries = Canaries::default();
    consent_at_railway(&app);
    mark(&app, &mut canaries);
    let page_of_consent = page(&app, &mut canaries).await;
    let callback = decide(&app, &page_of_consent, "allow").await;
    let mixed_up = callback.replace("iss=http", "iss=https");
    assert!(callback.contains(&canaries.0[0]), "the code is a canary");
    let page_of_consent = page(&app, &mut canaries).await;
    let good = decide(&app, &page_of_consent, "allow").await;
    for (what, url, status) in [("mixed up", mixed_up, 400), ("good", good.clone(), 200), ("replayed", good, 400)] {
        let shown = seen(&canaries, app.browse(&url).await, what);
        assert_eq!(shown.status, status, "{what}: {}", shown.text);
    }
    let asked = app.fakes.railway.host.requests();
    assert!(asked.iter().any(|request| request.header("authorization").is_some_and(|it| it.contains(&canaries.0[0]))));
    look(&app, &canaries).await;
    assert_kept(&app, &canaries).await;
    // Renewed by the job; then by a request; then refused.
    mark(&app, &mut canaries);
    app.advance(3_000);
    assert_eq!(run(&app, &canaries, "vaults-refresh").await["renewed"], 1);
    app.advance(3_601);
    look(&app, &canaries).await;
    app.advance(3_000);
    let echo = Reply::status(400).json(&json!({ "error": "invalid_grant", "error_description": canaries.0[0] }));
    app.fakes.railway.host.faults().next_on("/oauth/token", 1, PlatformFault::Answer(echo));
    assert_eq!(run(&app, &canaries, "vaults-refresh").await["refused"], 1);
    look(&app, &canaries).await;
    assert_kept(&app, &canaries).await;
    let id = app.vaults().get(CONNECTIONS).await.str("/data/connections/0/id");
    let _ = seen(&canaries, app.vaults().delete(&format!("{CONNECTIONS}/{id}")).await, "delete").expect(204);
    assert_kept(&app, &canaries).await;
}

/// Answers that have these secrets in every place where a platform might put one.
fn echoes(secrets: &[&str]) -> Vec<Reply> {
    let sentence = format!("Bad Request: {} is not one of ours", secrets.join(", "));
    let bodies = [
        json!(sentence),
        json!({ "error": sentence, "message": sentence, "detail": sentence, "id": sentence }),
        json!({ "error": { "code": sentence, "message": sentence, "limit": { "reset": sentence } } }),
        json!({ "errors": [{ "message": sentence, "code": sentence, "extensions": { "code": sentence } }] }),
        json!({ "success": false, "result": null, "errors": [{ "code": 1, "message": sentence }] }),
        json!({ "error": "invalid_grant", "error_description": sentence }),
        json!({ "created": [], "failed": [{ "error": { "code": sentence, "message": sentence, "key": "ONE" } }] }),
    ];
    let mut echoes = Vec::new();
    for body in bodies {
        for status in [200, 302, 400, 401, 403, 404, 422, 429, 500] {
            let reply = match body.as_str() {
                Some(text) => Reply::status(status).header("content-type", "text/plain").body(text.to_owned()),
                None => Reply::status(status).json(&body),
            };
            let headers = ["retry-after", "location", "x-request-id", "ratelimit-reset", "x-ratelimit-reset"];
            echoes.push(headers.iter().fold(reply, |reply, header| reply.header(header, &sentence)));
        }
    }
    echoes
}

fn echo_always(hosts: &[&Host], reply: &Reply) {
    for host in hosts {
        host.faults().clear();
        host.faults().all(PlatformFault::Answer(reply.clone()));
    }
}

#[tokio::test]
async fn a_platform_that_echoes_a_token_is_not_repeated() {
    let app = TestApp::start().await;
    let mut canaries = Canaries::default();
    let fakes = &app.fakes;
    let platforms: [(&str, &[&Host]); 9] = [
        ("vercel", &[&fakes.vercel.host]),
        ("railway", &[&fakes.railway.host]),
        ("netlify", &[&fakes.netlify.host]),
        ("fly", &[&fakes.fly.host]),
        ("cloudflare", &[&fakes.cloudflare.host]),
        ("github", &[&fakes.github.host]),
        ("render", &[&fakes.render.host]),
        ("heroku", &[&fakes.heroku.host, &fakes.heroku.id]),
        ("supabase", &[&fakes.supabase.host]),
    ];
    for (platform, hosts) in platforms {
        let token = canaries.plant(&app);
        for reply in echoes(&[&token]) {
            echo_always(hosts, &reply);
            let body = json!({ "token": token, "account": "mine" });
            let answer = app.vaults().post(&format!("/v1/integrations/{platform}/connect"), &body).await;
            let _ = seen(&canaries, answer, &format!("{platform}, {reply:?}"));
        }
    }
    assert_kept(&app, &canaries).await;
}

#[tokio::test]
async fn a_platform_that_echoes_values_or_a_code_is_not_repeated() {
    let mut canaries = Canaries::default();
    let (app, id) = connected(&mut canaries).await;
    let token = canaries.0[0].clone();
    let (one, two) = (canaries.plant(&app), canaries.plant(&app));
    let _ = app.vaults().put(SECRETS, &json!({ "ONE": one, "TWO": two })).await.expect(200);
    let host = &app.fakes.vercel.host;
    for reply in echoes(&[&token, &one, &two]) {
        // A secret takes a hundred versions a day.
        app.advance(3_600);
        // Whatever is asked, and then what is written alone.
        echo_always(&[host], &reply);
        // The connection may come to need a new token; that too is an answer.
        let _ = seen(&canaries, app.vaults().post(SYNC, &asks(&id, json!({}))).await, &format!("{reply:?}"));
        for path in
            [format!("{CONNECTIONS}/{id}/projects"), format!("{SYNC}/preview?connectionId={id}&projectId=prj_1")]
        {
            let _ = seen(&canaries, app.vaults().get(&path).await, &format!("{path}, {reply:?}"));
        }
        host.faults().clear();
        let body = json!({ "token": token, "account": "team_sandbox" });
        let _ = seen(&canaries, app.vaults().post(CONNECT, &body).await, "connect").expect(201);
        let readings = readings_of_a_sync(&app, &id).await;
        host.faults().after(readings, None, PlatformFault::Answer(reply.clone()));
        let _ =
            seen(&canaries, app.vaults().post(SYNC, &asks(&id, json!({}))).await, &format!("{reply:?}")).expect(200);
        host.faults().clear();
        let _ = seen(&canaries, app.vaults().post(CONNECT, &body).await, "connect").expect(201);
    }
    look(&app, &canaries).await;
    consent_at_railway(&app);
    mark(&app, &mut canaries);
    let mark = canaries.0.last().unwrap().clone();
    for reply in echoes(&[&mark]) {
        let page_of_consent = page(&app, &mut canaries).await;
        let callback = decide(&app, &page_of_consent, "allow").await;
        echo_always(&[&app.fakes.railway.host], &reply);
        seen(&canaries, app.browse(&callback).await, &format!("{reply:?}"));
        app.fakes.railway.host.faults().clear();
    }
    assert_kept(&app, &canaries).await;
}

/// How many requests a sync makes before it writes.
async fn readings_of_a_sync(app: &TestApp, id: &str) -> usize {
    app.fakes.vercel.host.forget_requests();
    let query = format!("connectionId={id}&projectId=prj_1");
    let _ = app.vaults().get(&format!("{SYNC}/preview?{query}")).await.expect(200);
    app.fakes.vercel.host.requests().len()
}

#[tokio::test]
async fn what_is_refused_is_not_repeated() {
    let mut canaries = Canaries::default();
    let (app, id) = connected(&mut canaries).await;
    let vaults = app.vaults();
    let secret = canaries.plant(&app);
    for wrong in [
        json!({ "A": { "value": secret } }),
        json!({ "A": [secret] }),
        json!({ "A": format!("{secret}\u{7}") }),
        json!({ "A": format!("{secret}{}", "x".repeat(30_000)) }),
        json!({ "not a name": secret }),
        json!([secret]),
        json!(secret),
    ] {
        for answer in [vaults.put(SECRETS, &wrong).await, vaults.patch(SECRETS, &wrong).await] {
            assert!(answer.status.is_client_error(), "{wrong}: {}", answer.text);
            let _ = seen(&canaries, answer, "secrets");
        }
    }
    for wrong in [
        json!({ "token": [secret] }),
        json!({ "token": format!("{secret}\n{secret}") }),
        json!({ "token": format!("{secret}{}", "x".repeat(5_000)) }),
        json!({ "token": secret, "account": 1 }),
        json!({ "token": secret, "more": secret }),
        json!({ "token": secret, "connectionId": secret }),
        json!(secret),
    ] {
        let key = canaries.plant(&app);
        let refused = keyed(&vaults, &key).post(CONNECT, &wrong).await;
        assert!(refused.status.is_client_error(), "{wrong}: {}", refused.text);
        let _ = seen(&canaries, refused, "connect");
    }
    for fields in [json!({ "direction": secret }), json!({ "auto": secret }), json!({ "token": secret })] {
        let key = canaries.plant(&app);
        let refused = keyed(&vaults, &key).post(SYNC, &asks(&id, fields)).await;
        let _ = seen(&canaries, refused, "sync").expect(400);
    }
    for body in [format!("{{\"A\": \"{secret}\""), format!("\"{secret}\""), secret.clone()] {
        let client = vaults.clone().header("content-type", "application/json");
        let refused = seen(&canaries, client.send(Method::PUT, SECRETS, body).await, "a body that is not JSON");
        assert!(refused.status.is_client_error(), "{}", refused.text);
    }
    assert_kept(&app, &canaries).await;
}

#[tokio::test]
async fn whatever_fails_at_aws_tells_no_secret() {
    let mut canaries = Canaries::default();
    let (app, id) = connected(&mut canaries).await;
    let token = canaries.0[0].clone();
    let refused = json!({ "__type": "ValidationException", "Message": "No.", "message": "No." });
    let refused = Fault::Status(StatusCode::BAD_REQUEST, refused.to_string());
    let vaults = app.vaults();
    for fault in [Fault::ServerError, Fault::LoseAnswer, refused] {
        for operation in ["CreateSecret", "PutSecretValue", "GetSecretValue", "PutItem", "TransactWriteItems"] {
            app.advance(121);
            app.proxy.inject(fault.clone()).on(operation).always();
            let (value, key) = (canaries.plant(&app), canaries.plant(&app));
            seen(&canaries, vaults.put(SECRETS, &json!({ "A": value })).await, "put");
            let body = json!({ "token": token, "account": "team_sandbox" });
            seen(&canaries, keyed(&vaults, &key).post(CONNECT, &body).await, "connect");
            seen(&canaries, keyed(&vaults, &key).post(SYNC, &asks(&id, json!({}))).await, "sync");
            look(&app, &canaries).await;
            app.proxy.clear();
            look(&app, &canaries).await;
        }
    }
    assert_kept(&app, &canaries).await;
}

#[tokio::test]
async fn printing_what_holds_a_secret_does_not_print_it() {
    let app = TestApp::start().await;
    let mut canaries = Canaries::default();
    let secret = SecretString::from(canaries.plant(&app));
    let held = || Held { access: secret.clone(), refresh: Some(secret.clone()) };
    let variable = || Variable { value: Some(secret.clone()), marker: None, handle: Value::Null };
    let values: Values = [("A".to_owned(), secret.clone())].into_iter().collect();
    let tokens = Tokens {
        access: secret.clone(),
        refresh: Some(secret.clone()),
        lives: None,
        team_id: None,
        user_id: None,
        installation_id: None,
    };
    let client = vaults::providers::Client { id: "one".into(), secret: secret.clone(), slug: None };
    let contents =
        Contents { variables: [("A".to_owned(), variable())].into(), hides_names: false, ..Contents::default() };
    let change = Change { name: "A".into(), value: Some(secret.clone()), before: Some(variable()) };
    let session = Session::new("one", None, &secret, &app.platform.egress, Ids::default().now());
    for (what, printed) in [
        ("what is held", format!("{:#?}", held())),
        ("a grant", format!("{:#?}", Grant::of(held(), Way::Oauth))),
        ("tokens", format!("{tokens:#?}")),
        ("a client", format!("{client:#?}")),
        ("a session", format!("{session:#?}")),
        ("values", format!("{values:#?}")),
        ("an edit", format!("{:#?}", Edit::Replace(values.clone()))),
        ("a merge", format!("{:#?}", Edit::Merge([("A".to_owned(), Some(secret.clone()))].into()))),
        ("a platform's variables", format!("{contents:#?}")),
        ("a change", format!("{change:#?}")),
    ] {
        canaries.assert_absent(&printed, what);
    }
}
