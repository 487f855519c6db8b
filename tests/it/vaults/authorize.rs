//! Accounts connected by OAuth: the authorization and its callback.

use futures::join;
use kit::fault_proxy::Fault;
use kit::{Answer, TestApp};
use serde_json::json;

use super::fixtures::{CONNECTIONS, at_vercel, put, sync};

const AUTHORIZE: &str = "/v1/integrations/vercel/authorize";

/// Begins an authorization; the address of the page of consent.
async fn begin(app: &TestApp, query: &str) -> String {
    let vaults = app.vaults().header("accept", "application/json");
    vaults.get(&format!("{AUTHORIZE}{query}")).await.str("/data/authorizationUrl")
}

/// Consents, or does not; what the platform sends the browser back to.
pub(crate) async fn decide(app: &TestApp, page: &str, decision: &str) -> String {
    let shown = app.browse(page).await;
    let (_, rest) = shown.text.split_once(&format!("<a id=\"{decision}\" href=\"")).unwrap();
    let path = rest.split('"').next().unwrap();
    let origin = &url::Url::parse(page).unwrap().origin().ascii_serialization();
    app.browse(&format!("{origin}{path}")).await.header("location").unwrap().to_owned()
}

fn is_plain_page(answer: &Answer) {
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert!(answer.text.contains("<html lang=\"en\">") && answer.text.contains("<h1>"), "{}", answer.text);
    assert!(!answer.text.contains("<script"));
}

#[tokio::test]
async fn an_authorization_that_cannot_begin_says_why() {
    let app = TestApp::start().await;
    let vaults = app.vaults();
    let _ = vaults.get("/v1/integrations/nobody/authorize").await.expect(404);
    let _ = vaults.get(&format!("{AUTHORIZE}?redirect_uri=https://evil.example/")).await.expect(403);
    let tricked = format!("{AUTHORIZE}?redirect_uri={}.evil.example/", TestApp::APP);
    let _ = vaults.get(&tricked).await.expect(403);
    let _ = vaults.get(&format!("{AUTHORIZE}?redirect_uri=javascript:alert(1)")).await.expect(400);
    // One that takes tokens alone points there.
    let token_only = vaults.get("/v1/integrations/render/authorize").await.expect(400);
    assert!(token_only["detail"].as_str().unwrap().contains("POST /v1/integrations/render/connect"), "{token_only}");
    // The operator has no client.
    let client = app.secrets.delete_secret().secret_id("causeway/oauth/heroku").force_delete_without_recovery(true);
    client.send().await.unwrap();
    let unset = vaults.get("/v1/integrations/heroku/authorize").await.expect(503);
    assert_eq!((&unset["title"], &unset["status"]), (&json!("Not configured"), &json!(503)));
    assert!(!app.all_items().await.contains("OAUTH#"));
}

#[tokio::test]
async fn an_answer_that_names_another_issuer_connects_nothing() {
    let app = TestApp::start().await;
    let vaults = app.vaults().header("accept", "application/json");
    let page = vaults.get("/v1/integrations/railway/authorize").await.str("/data/authorizationUrl");
    let callback = decide(&app, &page, "allow").await;
    let mixed_up = callback.replace("iss=http", "iss=https");
    assert_ne!(mixed_up, callback);
    assert_eq!(app.browse(&mixed_up).await.status, 400);
    // It always says who it is, so whoever does not is somebody else.
    let page = vaults.get("/v1/integrations/railway/authorize").await.str("/data/authorizationUrl");
    let mut unsigned = url::Url::parse(&decide(&app, &page, "allow").await).unwrap();
    let rest: Vec<(String, String)> = unsigned.query_pairs().into_owned().filter(|(name, _)| name != "iss").collect();
    unsigned.query_pairs_mut().clear().extend_pairs(rest);
    assert_eq!(app.browse(unsigned.as_str()).await.status, 400);
    assert_eq!(app.fakes.railway.host.calls("/oauth/token"), 0, "the code went nowhere");
    let page = vaults.get("/v1/integrations/railway/authorize").await.str("/data/authorizationUrl");
    let refused = app.browse(&decide(&app, &page, "deny").await).await;
    assert_eq!(refused.status, 400);
    is_plain_page(&refused);
    let page = vaults.get("/v1/integrations/railway/authorize").await.str("/data/authorizationUrl");
    assert_eq!(app.browse(&decide(&app, &page, "allow").await).await.status, 200);
}

#[tokio::test]
async fn a_browser_is_sent_to_the_page_of_consent_and_back() {
    let app = TestApp::start().await;
    let sent = app.vaults().get(AUTHORIZE).await;
    assert_eq!(sent.status, 302);
    let page = sent.header("location").unwrap().to_owned();
    assert!(page.starts_with(&app.fakes.vercel.web.origin()), "{page}");
    let callback = decide(&app, &page, "allow").await;
    assert!(callback.starts_with(&format!("{}/vaults/v1/integrations/vercel/callback?", app.url)), "{callback}");
    let done = app.browse(&callback).await;
    assert_eq!(done.status, 200, "{}", done.text);
    is_plain_page(&done);
    let row = app.vaults().get(CONNECTIONS).await.expect(200)["data"]["connections"][0].clone();
    assert_eq!((&row["providerAccountId"], &row["connectedBy"]), (&json!("team_sandbox"), &json!("oauth")));
    assert_eq!((&row["providerTeamId"], &row["providerUserId"]), (&json!("team_sandbox"), &json!("user_sandbox")));
    // A state is good once.
    let replayed = app.browse(&callback).await;
    assert_eq!(replayed.status, 400);
    is_plain_page(&replayed);
    // Connected again, it is the same connection; disconnected, its installation stays: what it pushed would go with it.
    app.advance(1);
    let again = format!("?redirect_uri={}/done?x=1", TestApp::APP);
    let callback = decide(&app, &begin(&app, &again).await, "allow").await;
    let sent = app.browse(&callback).await;
    assert_eq!((sent.status.as_u16(), sent.header("location")), (302, Some("https://app.example.com/done?x=1")));
    let listed = app.vaults().get(CONNECTIONS).await.expect(200)["data"]["connections"].clone();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["id"]), (1, &row["id"]));
    assert_eq!(app.fakes.vercel.installations().len(), 1);
    app.fakes.vercel.add_project("prj_1", "another", "team_sandbox");
    put(&app.vaults(), json!({ "A": "1" })).await;
    assert_eq!(sync(&app, row["id"].as_str().unwrap(), json!({})).await["status"], "success");
    let _ = app.vaults().delete(&format!("{CONNECTIONS}/{}", row["id"].as_str().unwrap())).await.expect(204);
    assert_eq!(app.fakes.vercel.installations().len(), 1);
    assert_eq!(at_vercel(&app), json!({ "A": "1" }));
}

#[tokio::test]
async fn the_callback_is_where_the_operator_says_whatever_host_was_called() {
    let base = "https://integrations.example.com/platforms";
    let app = TestApp::start_with(|settings| settings.public_url_vaults = Some(base.to_owned())).await;
    let redirect = |page: &str| {
        let page = url::Url::parse(page).unwrap();
        let found = page.query_pairs().find(|(name, _)| name == "redirect_uri").map(|(_, value)| value.into_owned());
        found.unwrap()
    };
    let path = "/v1/integrations/railway/authorize";
    for host in ["127.0.0.1", "evil.example"] {
        let vaults = app.vaults().header("accept", "application/json").header("host", host);
        let vaults = vaults.header("x-forwarded-proto", "ftp");
        let page = vaults.get(path).await.str("/data/authorizationUrl");
        assert_eq!(redirect(&page), format!("{base}/v1/integrations/railway/callback"));
    }
    // Otherwise it stands beside authorize, under the host that was called.
    let app = TestApp::start().await;
    let vaults = app.vaults().header("accept", "application/json").header("host", "integrations.example.com");
    let page = vaults.header("x-forwarded-proto", "https").get(path).await.str("/data/authorizationUrl");
    let beside = "https://integrations.example.com/vaults/v1/integrations/railway/callback";
    assert_eq!(redirect(&page), beside);
}

#[tokio::test]
async fn a_callback_that_nobody_waits_for_connects_nothing() {
    let app = TestApp::start().await;
    let callback = |rest: &str| format!("{}/vaults/v1/integrations/vercel/callback{rest}", app.url);
    let page = begin(&app, "").await;
    let good = decide(&app, &page, "allow").await;
    let state = good.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    // It is long enough not to be guessed, and stored only as a hash.
    assert_eq!(state.len(), 43);
    assert!(!app.all_items().await.contains(&state));
    for rest in ["", "?code=x", "?code=x&state=", "?code=x&state=unknown"] {
        let refused = app.browse(&callback(rest)).await;
        assert_eq!(refused.status, 400, "{rest}");
        is_plain_page(&refused);
    }
    // Another platform's callback is not this state's; and then it is used.
    let foreign = format!("{}/vaults/v1/integrations/netlify/callback?code=x&state={state}", app.url);
    assert_eq!(app.browse(&foreign).await.status, 400);
    assert_eq!(app.browse(&good).await.status, 400);
    let good = decide(&app, &begin(&app, "").await, "allow").await;
    app.advance(601);
    assert_eq!(app.browse(&good).await.status, 400, "ten minutes have passed");
    let page = begin(&app, "").await;
    let state = page.split("state=").nth(1).unwrap().to_owned();
    let denied =
        app.browse(&callback(&format!("?error=access_denied&state={state}&error_description=<b>no</b>"))).await;
    assert_eq!(denied.status, 400);
    assert!(denied.text.contains("Access was not granted") && !denied.text.contains("<b>"), "{}", denied.text);
    assert_eq!(app.vaults().get(CONNECTIONS).await.expect(200)["data"], json!({ "connections": [] }));
    assert_eq!(app.secret_names().await, Vec::<String>::new());
}

#[tokio::test]
async fn of_two_callbacks_with_one_state_one_connects() {
    let app = TestApp::start().await;
    let callback = decide(&app, &begin(&app, "").await, "allow").await;
    // Both have found the state before either takes it.
    let taking = app.proxy.inject(Fault::Hold).on("TransactWriteItems").times(2);
    let let_go = async {
        while taking.strikes() < 2 {
            tokio::task::yield_now().await;
        }
        taking.release();
    };
    let (one, other, ()) = join!(app.browse(&callback), app.browse(&callback), let_go);
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(app.fakes.vercel.host.calls("/oauth/access_token"), 1, "the code went out once");
    let listed = app.vaults().get(CONNECTIONS).await.expect(200)["data"]["connections"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(app.secret_names().await.len(), 1);
}

#[tokio::test]
async fn a_connection_is_renewed_only_with_its_own_account() {
    let app = TestApp::start().await;
    let callback = decide(&app, &begin(&app, "").await, "allow").await;
    let _ = app.browse(&callback).await;
    let id = app.vaults().get(CONNECTIONS).await.str("/data/connections/0/id");
    app.fakes.vercel.add_team("team_other", "Other");
    app.fakes.vercel.consent_as("user_sandbox", Some("team_other"));
    let page = begin(&app, &format!("?connectionId={id}")).await;
    let refused = app.browse(&decide(&app, &page, "allow").await).await;
    assert_eq!(refused.status, 409);
    is_plain_page(&refused);
    let listed = app.vaults().get(CONNECTIONS).await.expect(200)["data"]["connections"].clone();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["providerAccountId"]), (1, &json!("team_sandbox")));
    let others = app.vaults_as(&app.tenant("globex").tokens.admin);
    let _ = others.get(&format!("{AUTHORIZE}?connectionId={id}")).await.expect(404);
}
