//! Another tenant's things are not there.

use kit::TestApp;
use serde_json::json;
use shared::auth::Permission;

use super::fixtures::{NOBODYS, client, connect, item, names, resend, stored};
use super::operations;

#[tokio::test]
async fn another_tenants_id_answers_byte_for_byte_as_one_that_names_nothing() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.services(), app.services_as(&app.tenant("globex").tokens.admin));
    let id = connect(&acme, &operations::at_which_all_succeed(&app)).await;
    let path = format!("/api/integrations/{id}");
    let before = (acme.get(&path).await.text, stored(&app).await);
    let globex = globex.header("x-request-id", "the same for both");
    let _ = globex.get("/api/integrations").await.expect(200);
    for operation in operations::all(&app).iter().filter(|operation| operation.names_an_integration()) {
        for body in [operation.body.clone().unwrap_or_default().to_string(), "{\"name\":1}".into(), "[]".into()] {
            app.proxy.forget_calls();
            let foreign = operation.ask_with(&globex, &id, &body).await;
            let calls = app.proxy.operations();
            app.proxy.forget_calls();
            let missing = operation.ask_with(&globex, NOBODYS, &body).await;
            let headers = |answer: &kit::Answer| {
                let mut headers = answer.headers.clone();
                headers.remove("date");
                headers
            };
            assert_eq!(foreign.text, missing.text, "{}", operation.name);
            assert_eq!((foreign.status, headers(&foreign)), (missing.status, headers(&missing)), "{}", operation.name);
            assert_eq!(calls, app.proxy.operations(), "{}: the same work, so that time tells nothing", operation.name);
        }
        assert_eq!(operation.ask(&globex, &id).await.expect(404)["detail"], "Integration not found.");
    }
    assert_eq!((acme.get(&path).await.text, stored(&app).await), before);
    assert_eq!(app.fakes.resend.host.requests().len(), 0);
}

#[tokio::test]
async fn lists_do_not_show_other_tenants_things_even_where_a_name_begins_alike() {
    let app = TestApp::start().await;
    let everybody = ["acme", "acme-2", "acm", "globex"];
    for tenant in everybody {
        let _ = connect(&client(&app, tenant, Permission::ALL).await, &resend(tenant)).await;
    }
    for tenant in everybody {
        let services = client(&app, tenant, Permission::ALL).await;
        for path in ["/api/integrations", "/api/integrations?type=resend", "/api/integrations?limit=1"] {
            let body = services.get(path).await.expect(200);
            assert_eq!(names(&body), [tenant]);
            assert!(body.get("nextCursor").is_none());
        }
    }
}

#[tokio::test]
async fn a_secret_is_kept_under_its_tenants_name() {
    let app = TestApp::start().await;
    let mut expected = Vec::new();
    for tenant in ["acme", "globex"] {
        let services = client(&app, tenant, Permission::ALL).await;
        let id = connect(&services, &resend("Mail")).await;
        assert!(item(&app, tenant, &id).await.is_some());
        expected.push(format!("causeway/{tenant}/services/{id}"));
    }
    let mut names = app.secret_names().await;
    names.sort();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn idempotency_keys_of_two_tenants_do_not_meet() {
    let app = TestApp::start().await;
    let key = |token: &str| app.services_as(token).header("idempotency-key", "the-same-key");
    let (acme, globex) = (key(&app.tenant("acme").tokens.admin), key(&app.tenant("globex").tokens.admin));
    let one = acme.post("/api/integrations", &resend("Mail")).await;
    let other = globex.post("/api/integrations", &resend("Mail")).await;
    assert_ne!(one.expect(201)["id"], other.expect(201)["id"]);
    let different = globex.post("/api/integrations", &resend("Post")).await;
    let _ = different.expect(409);
    let again = acme.post("/api/integrations", &resend("Mail")).await;
    assert_eq!((again.status, again.text), (one.status, one.text));
}

#[tokio::test]
async fn another_tenants_cursor_is_refused() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.services(), app.services_as(&app.tenant("globex").tokens.admin));
    for services in [&acme, &globex] {
        for name in ["first", "second"] {
            let _ = connect(services, &resend(name)).await;
        }
    }
    for path in ["/api/integrations?limit=1", "/api/integrations?limit=1&type=resend"] {
        let cursor = acme.get(path).await.str("/nextCursor");
        let body = globex.get(&format!("{path}&cursor={cursor}")).await.expect(400);
        let rubbish = globex.get(&format!("{path}&cursor=rubbish")).await.expect(400);
        assert_eq!(body["fields"], rubbish["fields"]);
        let _ = acme.get(&format!("{path}&cursor={cursor}")).await.expect(200);
    }
}

#[tokio::test]
async fn a_test_before_saving_says_nothing_of_what_others_have_saved() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.services(), app.services_as(&app.tenant("globex").tokens.admin));
    let id = connect(&acme, &operations::at_which_all_succeed(&app)).await;
    let before = stored(&app).await;
    let body = json!({ "type": "resend", "config": { "apiKey": app.demo.resend_api_key }, "id": id });
    let answer = globex.post("/api/integrations/test", &body).await;
    assert_eq!(answer.expect(400)["fields"].as_object().unwrap().keys().collect::<Vec<_>>(), ["id"]);
    assert_eq!(stored(&app).await, before);
}
