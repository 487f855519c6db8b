//! `GET /api/integrations`.

use insta::assert_json_snapshot;
use kit::TestApp;
use serde_json::json;

use super::fixtures::{bare_webhook, connect, names, resend, sendgrid};

#[tokio::test]
async fn an_unknown_type_is_named_with_the_types_there_are() {
    let app = TestApp::start().await;
    for kind in ["msteams", "", "Slack", "slack,discord"] {
        let answer = app.services().get(&format!("/api/integrations?type={kind}")).await;
        let body = answer.expect(400);
        assert_eq!(body["error"], "invalid_input");
        assert_eq!(
            body["fields"],
            json!({ "type": "is not one of discord, slack, telegram, sendgrid, resend, webhook, web3, ai-gateway" }),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_limit_is_a_whole_number_from_1_to_100() {
    let app = TestApp::start().await;
    let services = app.services();
    for limit in ["0", "101", "-1", "1.5", "many", "", "99999999999999999999999"] {
        let fields = services.get(&format!("/api/integrations?limit={limit}")).await.expect(400)["fields"].take();
        assert_eq!(fields, json!({ "limit": "is not a whole number from 1 to 100" }), "{limit}");
    }
    for limit in ["1", "100"] {
        let _ = services.get(&format!("/api/integrations?limit={limit}")).await.expect(200);
    }
}

#[tokio::test]
async fn everything_wrong_with_a_query_is_named_at_once() {
    let app = TestApp::start().await;
    let answer = app.services().get("/api/integrations?limit=0&type=x").await;
    assert_json_snapshot!(answer.expect(400), { ".request_id" => "[request id]" });
}

#[tokio::test]
async fn a_cursor_that_is_not_of_this_very_list_is_refused() {
    let app = TestApp::start().await;
    let services = app.services();
    for name in ["first", "second", "third"] {
        let _ = connect(&services, &resend(name)).await;
    }
    let cursor = services.get("/api/integrations?limit=1").await.str("/nextCursor");
    let (head, last) = cursor.split_at(cursor.len() - 1);
    let changed = format!("{head}{}", if last == "A" { "B" } else { "A" });
    for query in [
        "cursor=".to_owned(),
        "cursor=AAAA".to_owned(),
        "cursor=%00".to_owned(),
        format!("cursor={changed}"),
        format!("cursor={cursor}x"),
        format!("cursor={}", "A".repeat(4096)),
        format!("cursor={cursor}&type=resend"),
    ] {
        let fields = services.get(&format!("/api/integrations?{query}")).await.expect(400)["fields"].take();
        assert_eq!(
            fields,
            json!({ "cursor": "is not a nextCursor of this list: send it as it came, with the same type" }),
            "{query}"
        );
    }
    let _ = services.get(&format!("/api/integrations?cursor={cursor}")).await.expect(200);
}

#[tokio::test]
async fn a_tenant_without_integrations_has_an_empty_list() {
    let app = TestApp::start().await;
    for path in ["/api/integrations", "/api/integrations?type=slack"] {
        assert_eq!(app.services().get(path).await.expect(200), json!({ "data": [] }));
    }
}

#[tokio::test]
async fn a_row_has_exactly_the_documented_fields_and_no_config() {
    let app = TestApp::start().await;
    let services = app.services();
    let _ = connect(&services, &resend("Ops mail")).await;
    app.advance(1);
    let _ = connect(&services, &bare_webhook(&app, "Hook")).await;
    assert_json_snapshot!(services.get("/api/integrations").await.expect(200), {
        ".data[].id" => "[id]",
        ".data[].createdAt" => "[time]",
        ".data[].updatedAt" => "[time]",
    });
}

#[tokio::test]
async fn the_list_is_in_the_order_of_creation_whatever_was_changed_since() {
    let app = TestApp::start().await;
    let services = app.services();
    let mut ids = Vec::new();
    for name in ["first", "second", "third"] {
        ids.push(connect(&services, &resend(name)).await);
        app.advance(1);
    }
    let renamed = services.put(&format!("/api/integrations/{}", ids[0]), &json!({ "name": "changed" })).await;
    let _ = renamed.expect(200);
    let body = services.get("/api/integrations").await.expect(200);
    assert_eq!(names(&body), ["changed", "second", "third"]);
    assert!(body.get("nextCursor").is_none());
    assert_eq!(body["data"][0]["createdAt"], "2026-05-28T20:26:40.000Z");
    assert_eq!(body["data"][0]["updatedAt"], "2026-05-28T20:26:43.000Z");
}

#[tokio::test]
async fn what_was_created_in_the_same_millisecond_is_in_the_order_of_its_ids() {
    let app = TestApp::start().await;
    let services = app.services();
    for _ in 0..12 {
        let _ = connect(&services, &resend("twin")).await;
    }
    let body = services.get("/api/integrations").await.expect(200);
    let ids: Vec<_> = body["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 12);
    assert!(ids.is_sorted(), "{ids:?}");
}

#[tokio::test]
async fn a_type_shows_its_own_only_in_the_same_order() {
    let app = TestApp::start().await;
    let services = app.services();
    for (number, body) in
        [resend("1"), sendgrid("2"), resend("3"), bare_webhook(&app, "4"), resend("5")].iter().enumerate()
    {
        let _ = connect(&services, body).await;
        app.advance(i64::from(number == 0));
    }
    let resends = services.get("/api/integrations?type=resend").await.expect(200);
    let mut sorted = names(&resends);
    sorted.sort_unstable();
    assert_eq!(sorted, ["1", "3", "5"]);
    assert_eq!(names(&resends)[0], "1");
    assert_eq!(names(&services.get("/api/integrations?type=webhook").await.expect(200)), ["4"]);
    assert_eq!(names(&services.get("/api/integrations?type=web3").await.expect(200)), [""; 0]);
}

#[tokio::test]
async fn there_is_a_next_cursor_only_where_there_is_more() {
    let app = TestApp::start().await;
    let services = app.services();
    for number in 0..4 {
        let _ = connect(&services, &resend(&number.to_string())).await;
        app.advance(1);
    }
    for path in ["/api/integrations?limit=2", "/api/integrations?limit=2&type=resend"] {
        let first = services.get(path).await;
        assert_eq!(names(&first.expect(200)), ["0", "1"]);
        let second = services.get(&format!("{path}&cursor={}", first.str("/nextCursor"))).await;
        assert_eq!(names(&second.expect(200)), ["2", "3"]);
        assert!(second.json().get("nextCursor").is_none(), "the last page is full, and still the last");
    }
}

#[tokio::test]
async fn a_page_has_50_unless_told() {
    let app = TestApp::start().await;
    let services = app.services();
    for number in 0..51 {
        let _ = connect(&services, &bare_webhook(&app, &number.to_string())).await;
    }
    let body = services.get("/api/integrations").await.expect(200);
    assert_eq!(names(&body).len(), 50);
    assert!(body["nextCursor"].is_string());
    let all = services.get("/api/integrations?limit=100").await.expect(200);
    assert_eq!(names(&all).len(), 51);
    assert!(all.get("nextCursor").is_none());
}

#[tokio::test]
async fn parameters_that_are_not_ours_are_ignored_and_the_first_of_a_repeated_one_counts() {
    let app = TestApp::start().await;
    let services = app.services();
    let _ = connect(&services, &resend("Mail")).await;
    let body = services.get("/api/integrations?utm_source=mail&type=resend&type=nonsense&&=&%zz").await.expect(200);
    assert_eq!(names(&body), ["Mail"]);
}
