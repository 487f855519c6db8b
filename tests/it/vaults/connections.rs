//! Providers, and accounts connected with a pasted token.

use fakes::platforms::Reach;
use kit::TestApp;
use serde_json::{Value, json};

use super::fixtures::{CONNECTIONS, NOBODYS, SYNC, connect, put, reach, sync};

const CONNECT: &str = "/v1/integrations/vercel/connect";

#[tokio::test]
async fn the_list_of_providers_is_for_everybody() {
    let app = TestApp::start().await;
    let answer = app.vaults().without("authorization").get("/v1/integrations").await;
    let body = answer.expect(200);
    assert_eq!(Some(body["meta"]["requestId"].as_str().unwrap()), answer.header("x-request-id"));
    let vercel = &body["data"]["providers"][0];
    assert_eq!((&vercel["name"], &vercel["displayName"]), (&json!("vercel"), &json!("Vercel")));
    assert_eq!((&vercel["configured"], &vercel["status"]), (&json!(true), &json!("available")));
    let features: Vec<&str> = vercel["features"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(features.contains(&"oauth") && features.contains(&"token"), "{features:?}");
}

#[tokio::test]
async fn a_token_that_does_not_work_is_refused_and_nothing_is_saved() {
    let app = TestApp::start().await;
    let refused = app.vaults().post(CONNECT, &json!({ "token": "vcp_wrong_token" })).await;
    let problem = refused.expect(400);
    assert_eq!(problem["status"], 400);
    assert!(problem["detail"].as_str().unwrap().contains("Vercel"), "{problem}");
    assert!(!refused.text.contains("vcp_wrong_token"));
    let missing = app.vaults().post(CONNECT, &json!({ "tokken": "x" })).await.expect(400);
    let fields: Vec<&Value> = missing["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["token", "tokken"]);
    let _ = app.vaults().post("/v1/integrations/nobody/connect", &json!({ "token": "x" })).await.expect(404);
    app.fakes.vercel.host.faults().next(9, fakes::Fault::Close);
    let _ = app.vaults().post(CONNECT, &json!({ "token": app.demo.vercel_token })).await.expect(502);
    assert_eq!(app.vaults().get(CONNECTIONS).await.expect(200)["data"], json!({ "connections": [] }));
    assert_eq!(app.secret_names().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_token_that_never_worked_is_told_from_one_that_stopped_working() {
    let app = TestApp::start().await;
    let listed = app.vaults().get("/v1/integrations").await.expect(200)["data"]["providers"].clone();
    for provider in listed.as_array().unwrap() {
        let (name, display_name) = (provider["name"].as_str().unwrap(), provider["displayName"].as_str().unwrap());
        let connect = format!("/v1/integrations/{name}/connect");
        let refused = app.vaults().post(&connect, &json!({ "token": "not-a-token-of-anybody" })).await.expect(400);
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("{display_name} does not accept this token. ")), "{name}: {detail}");
        assert!(detail.ends_with(provider["tokenHelp"].as_str().unwrap()), "{name}: {detail}");
        assert!(!detail.contains("any more"), "{name}: {detail}");
    }
    // One that worked before is another matter.
    let id = connect(&app).await;
    app.fakes.vercel.revoke(&app.demo.vercel_token);
    let projects = format!("{CONNECTIONS}/{id}/projects");
    for _ in 0..2 {
        let gone = app.vaults().get(&projects).await.expect(409);
        let detail = gone["detail"].as_str().unwrap();
        assert!(detail.starts_with("Vercel does not accept the") && detail.contains("any more"), "{detail}");
    }
}

#[tokio::test]
async fn a_connection_is_listed_without_its_token() {
    let app = TestApp::start().await;
    let id = connect(&app).await;
    let listed = app.vaults().get(CONNECTIONS).await;
    let row = listed.expect(200)["data"]["connections"][0].clone();
    assert_eq!((&row["id"], &row["provider"]), (&json!(id), &json!("vercel")));
    assert_eq!((&row["providerAccountId"], &row["status"]), (&json!("team_sandbox"), &json!("active")));
    assert_eq!(row["createdAt"], "2026-05-28T20:26:40.000Z");
    assert!(!listed.text.contains(&app.demo.vercel_token));
    assert!(!app.all_items().await.contains(&app.demo.vercel_token));
    assert_eq!(app.secret_names().await, [format!("causeway/acme/vaults/{id}")]);
    let others = app.vaults_as(&app.tenant("globex").tokens.admin);
    assert_eq!(others.get(CONNECTIONS).await.expect(200)["data"], json!({ "connections": [] }));
    let _ = others.get(&format!("{CONNECTIONS}/{id}/projects")).await.expect(404);
    let _ = others.delete(&format!("{CONNECTIONS}/{id}")).await.expect(404);
}

#[tokio::test]
async fn the_same_account_connected_again_is_the_same_connection() {
    let app = TestApp::start().await;
    let id = connect(&app).await;
    app.advance(60);
    let fresh = "vcp_another_token";
    app.fakes.vercel.add_token(fresh, reach());
    // This token reaches the user's own account too, so it must be said which is meant.
    let several = app.vaults().post(CONNECT, &json!({ "token": fresh })).await.expect(400);
    assert_eq!(several["errors"][0]["field"], "account");
    let body = json!({ "token": fresh, "account": "team_sandbox" });
    let again = app.vaults().post(CONNECT, &body).await.expect(201);
    assert_eq!((&again["data"]["id"], &again["data"]["createdAt"]), (&json!(id), &json!("2026-05-28T20:26:40.000Z")));
    assert_eq!(again["data"]["updatedAt"], "2026-05-28T20:27:40.000Z");
    // The new token is used from now on.
    app.fakes.vercel.revoke(&app.demo.vercel_token);
    let _ = app.vaults().get(&format!("{CONNECTIONS}/{id}/projects")).await.expect(200);
    // Another account is no renewal of this one.
    let body = json!({ "token": fresh, "account": "user_sandbox", "connectionId": id });
    let _ = app.vaults().post(CONNECT, &body).await.expect(409);
    assert_eq!(app.vaults().get(CONNECTIONS).await.expect(200)["data"]["connections"].as_array().unwrap().len(), 1);
    assert_eq!(app.secret_names().await.len(), 1);
}

#[tokio::test]
async fn projects_are_listed() {
    let app = TestApp::start().await;
    let id = connect(&app).await;
    let listed = app.vaults().get(&format!("{CONNECTIONS}/{id}/projects")).await.expect(200);
    let project = &listed["data"]["projects"][0];
    assert_eq!((&project["id"], &project["name"]), (&json!("prj_sandbox"), &json!("my-app")));
    assert_eq!((&project["linkedRepo"], &project["framework"]), (&json!("acme/app"), &json!("nextjs")));
    let _ = app.vaults().get(&format!("{CONNECTIONS}/{NOBODYS}/projects")).await.expect(404);
    let malformed = app.vaults().get(&format!("{CONNECTIONS}/prj/projects")).await.expect(400);
    assert_eq!(malformed["errors"][0]["field"], "id");
    // A token that was revoked is noted.
    app.fakes.vercel.revoke(&app.demo.vercel_token);
    let _ = app.vaults().get(&format!("{CONNECTIONS}/{id}/projects")).await.expect(409);
    let row = app.vaults().get(CONNECTIONS).await.expect(200)["data"]["connections"][0].clone();
    assert_eq!(row["status"], "needs_reauth");
}

#[tokio::test]
async fn a_deleted_connection_leaves_nothing() {
    let (app, id) = super::fixtures::ready(json!({ "A": "1" })).await;
    let _ = super::fixtures::sync(&app, &id, json!({})).await;
    let deleted = app.vaults().delete(&format!("{CONNECTIONS}/{id}")).await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
    let _ = app.vaults().delete(&format!("{CONNECTIONS}/{id}")).await.expect(404);
    let items = app.all_items().await;
    for prefix in ["L#env_", "G#", "U#"] {
        assert!(!items.contains(&format!("S(\"{prefix}")), "{prefix} is left");
    }
    let names = app.secret_names().await;
    assert!(names.iter().all(|name| name.contains("/env_")), "{names:?}");
    // What the vault holds, and what the project got, stay.
    assert_eq!(super::fixtures::values(&app.vaults()).await, json!({ "A": "1" }));
    assert_eq!(super::fixtures::at_vercel(&app), json!({ "A": "1" }));
}

#[tokio::test]
async fn an_organisation_is_renewed_by_its_connection() {
    let app = TestApp::start().await;
    let connect = "/v1/integrations/github/connect";
    for token in ["ghp_one", "ghp_two", "ghp_other"] {
        let owner = if token == "ghp_other" { "other" } else { "acme" };
        app.fakes.github.add_token(token, Reach::of("ada", &[owner]));
    }
    let connected = app.vaults().post(connect, &json!({ "token": "ghp_one", "account": "acme" })).await;
    let (row, id) = (connected.expect(201)["data"].clone(), connected.str("/data/id"));
    assert_eq!(row["providerAccountName"], "acme");
    let renewed = app.vaults().post(connect, &json!({ "token": "ghp_two", "connectionId": id })).await.expect(201);
    assert_eq!(
        (&renewed["data"]["id"], &renewed["data"]["providerAccountId"]),
        (&row["id"], &row["providerAccountId"])
    );
    let _ = app.vaults().post(connect, &json!({ "token": "ghp_other", "connectionId": id })).await.expect(409);
}

#[tokio::test]
async fn a_repository_is_one_target_however_it_is_written() {
    let app = TestApp::start().await;
    app.fakes.github.add_repository("Acme", "App", &[]);
    app.fakes.github.add_token("ghp_one", Reach::of("ada", &["Acme"]));
    let connect = "/v1/integrations/github/connect";
    let id = app.vaults().post(connect, &json!({ "token": "ghp_one" })).await.str("/data/id");
    let listed = app.vaults().get(&format!("{CONNECTIONS}/{id}/projects")).await.expect(200);
    assert_eq!(
        (&listed["data"]["projects"][0]["id"], &listed["data"]["projects"][0]["name"]),
        (&json!("acme/app"), &json!("Acme/App"))
    );
    put(&app.vaults(), json!({ "A": "1" })).await;
    for project in ["Acme/App", "acme/app", "ACME/APP"] {
        let fields = json!({ "projectId": project, "providerEnvironment": "repository" });
        assert_eq!(sync(&app, &id, fields).await["status"], "success");
    }
    assert_eq!(app.fakes.github.values("Acme/App", ""), [("A".to_owned(), "1".to_owned())]);
    let links = app.vaults().get(&format!("{SYNC}/links")).await.expect(200)["data"]["links"].clone();
    assert_eq!((links.as_array().unwrap().len(), &links[0]["projectId"]), (1, &json!("acme/app")));
}
