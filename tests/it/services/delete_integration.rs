//! `DELETE /api/integrations/{integrationId}`.

use insta::assert_json_snapshot;
use kit::TestApp;
use serde_json::json;

use super::fixtures::{NOBODYS, bare_webhook, connect, item, names, resend};
use super::operations;

#[tokio::test]
async fn what_is_not_there_cannot_be_deleted() {
    let app = TestApp::start().await;
    let services = app.services();
    for id in [NOBODYS, "int_1"] {
        assert_eq!(services.delete(&format!("/api/integrations/{id}")).await.expect(404)["error"], "not_found");
    }
}

#[tokio::test]
async fn it_is_deleted_once() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = format!("/api/integrations/{}", connect(&services, &resend("Mail")).await);
    assert_json_snapshot!(services.delete(&path).await.expect(200), @r#"
    {
      "success": true
    }
    "#);
    assert_eq!(services.delete(&path).await.expect(404)["error"], "not_found");
}

#[tokio::test]
async fn the_secret_goes_too_and_nothing_else_does() {
    let app = TestApp::start().await;
    let services = app.services();
    let gone = connect(&services, &resend("gone")).await;
    let stays = connect(&services, &resend("stays")).await;
    let _ = services.delete(&format!("/api/integrations/{gone}")).await.expect(200);
    assert_eq!(app.secret_names().await, [format!("causeway/acme/services/{stays}")]);
    assert!(item(&app, "acme", &gone).await.is_none() && item(&app, "acme", &stays).await.is_some());
    assert_eq!(names(&services.get("/api/integrations").await.expect(200)), ["stays"]);
    assert_eq!(names(&services.get("/api/integrations?type=resend").await.expect(200)), ["stays"]);
    let body = services.get(&format!("/api/integrations/{stays}")).await.expect(200);
    assert_eq!(body["config"]["apiKey"], "re_of_the_operations_team");
}

#[tokio::test]
async fn afterwards_every_operation_finds_nothing() {
    let app = TestApp::start().await;
    let services = app.services();
    let id = connect(&services, &operations::at_which_all_succeed(&app)).await;
    let _ = services.delete(&format!("/api/integrations/{id}")).await.expect(200);
    for operation in operations::all(&app).iter().filter(|operation| operation.names_an_integration()) {
        assert_eq!(operation.ask(&services, &id).await.status, 404, "{}", operation.name);
    }
    assert_eq!(app.fakes.resend.host.requests().len(), 0);
}

#[tokio::test]
async fn what_has_no_secret_is_deleted_without_a_call_to_secrets_manager() {
    let app = TestApp::start().await;
    let services = app.services();
    let id = connect(&services, &bare_webhook(&app, "Hook")).await;
    app.proxy.forget_calls();
    let _ = services.delete(&format!("/api/integrations/{id}")).await.expect(200);
    assert_eq!(app.proxy.operations(), ["GetItem", "DeleteItem"]);
}

#[tokio::test]
async fn a_body_is_not_looked_at() {
    let app = TestApp::start().await;
    let services = app.services();
    let id = connect(&services, &resend("Mail")).await;
    let answer = services.send(http::Method::DELETE, &format!("/api/integrations/{id}"), "not JSON").await;
    assert_eq!(answer.expect(200), json!({ "success": true }));
}
