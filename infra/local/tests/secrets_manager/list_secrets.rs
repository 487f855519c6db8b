//! `ListSecrets`: filters, order and pages.

use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, SortByType, SortOrderType};
use serde_json::json;

use crate::emulator::{Emulator, assert_code, assert_refused, tag, where_};

#[tokio::test]
async fn refuses_a_page_of_no_or_more_than_100_entries_and_a_foreign_token() {
    let emulator = Emulator::start().await;
    for name in ["a", "b"] {
        emulator.create(name, "v").await;
    }
    let list = emulator.client.list_secrets();
    assert_code(list.clone().max_results(0).send().await, "ValidationException");
    assert_code(list.clone().max_results(101).send().await, "ValidationException");
    assert_code(list.clone().next_token("nonsense").send().await, "InvalidNextTokenException");
    let by_name = list.clone().sort_by(SortByType::Name).max_results(1).send().await.unwrap().next_token;
    assert!(by_name.is_some());
    assert_code(list.set_next_token(by_name).send().await, "InvalidNextTokenException");
}

#[tokio::test]
async fn refuses_an_unknown_filter_and_one_without_values() {
    let emulator = Emulator::start().await;
    let list = emulator.client.list_secrets();
    let unknown = where_(FilterNameStringType::from("colour"), &["red"]);
    assert_code(list.clone().filters(unknown).send().await, "ValidationException");
    let no_values = Filter::builder().key(FilterNameStringType::Name).build();
    assert_refused(
        list.clone().filters(no_values).send().await,
        "InvalidParameterException",
        "Invalid filter values for key: name",
    );
    let no_key = Filter::builder().values("a").build();
    assert_refused(list.filters(no_key).send().await, "InvalidParameterException", "Invalid filter key");
}

#[tokio::test]
async fn hides_deleted_secrets_unless_asked() {
    let emulator = Emulator::start().await;
    for name in ["a", "b"] {
        emulator.create(name, "v").await;
    }
    emulator.client.delete_secret().secret_id("a").send().await.unwrap();
    assert_eq!(emulator.names(None).await, ["b"]);
    let list = emulator.client.list_secrets().include_planned_deletion(true).send().await.unwrap();
    let dates: Vec<_> = list.secret_list().iter().map(|secret| (secret.name(), secret.deleted_date)).collect();
    assert!(matches!(dates[..], [(Some("a"), Some(_)), (Some("b"), None)]), "{dates:?}");
}

#[tokio::test]
async fn an_entry_shows_its_labelled_versions_and_no_value() {
    let emulator = Emulator::start().await;
    let first = emulator.create("a", "hunter2").await;
    let second = emulator.put("a", "hunter3", &[]).await;
    emulator.client.create_secret().name("empty").send().await.unwrap();
    let (_, body) = emulator.raw("secretsmanager.ListSecrets", "{}").await;
    let expected = json!({ first: ["AWSPREVIOUS"], second: ["AWSCURRENT"] });
    assert_eq!(body["SecretList"][0]["SecretVersionsToStages"], expected);
    assert_eq!(body["SecretList"][1].get("SecretVersionsToStages"), None);
    assert!(!body.to_string().contains("hunter"), "{body}");
}

#[tokio::test]
async fn a_name_filter_is_a_prefix_and_minds_case() {
    let emulator = Emulator::start().await;
    for name in ["app/a", "app/b", "APP/a", "my-app/a"] {
        emulator.create(name, "v").await;
    }
    use FilterNameStringType::Name;
    assert_eq!(emulator.names(Some((Name, &["app/"]))).await, ["app/a", "app/b"]);
    assert_eq!(emulator.names(Some((Name, &["app/a", "my"]))).await, ["app/a", "my-app/a"]);
    // SQL's wildcards are characters like any other.
    assert!(emulator.names(Some((Name, &["app_"]))).await.is_empty());
}

#[tokio::test]
async fn an_exclamation_mark_negates() {
    let emulator = Emulator::start().await;
    for name in ["app/a", "app/b", "other/a"] {
        emulator.create(name, "v").await;
    }
    use FilterNameStringType::Name;
    assert_eq!(emulator.names(Some((Name, &["!app/"]))).await, ["other/a"]);
    assert_eq!(emulator.names(Some((Name, &["app/", "!app/b"]))).await, ["app/a"]);
    assert!(emulator.names(Some((Name, &["!app/", "!other/"]))).await.is_empty());
}

#[tokio::test]
async fn filters_on_description_tags_and_all() {
    let emulator = Emulator::start().await;
    let create = emulator.client.create_secret();
    create.clone().name("a").description("Billing key").tags(tag("Team", "Red")).send().await.unwrap();
    create.clone().name("b").description("the billing").tags(tag("team", "Blue")).send().await.unwrap();
    create.name("c").send().await.unwrap();
    use FilterNameStringType::{All, Description, OwningService, PrimaryRegion, TagKey, TagValue};
    let cases: [(FilterNameStringType, &[&str], &[&str]); 11] = [
        (Description, &["billing"], &["a"]),
        (Description, &["!billing"], &["b", "c"]),
        (TagKey, &["Te"], &["a"]),
        (TagKey, &["!team"], &["a", "c"]),
        (TagValue, &["Blue", "Red"], &["a", "b"]),
        (TagValue, &["blue"], &[]),
        (All, &["key BILL"], &["a"]),
        (All, &["blue"], &["b"]),
        (PrimaryRegion, &["eu"], &[]),
        (OwningService, &["rds"], &[]),
        (OwningService, &["!rds"], &["a", "b", "c"]),
    ];
    for (key, values, expected) in cases {
        assert_eq!(emulator.names(Some((key.clone(), values))).await, expected, "{key} {values:?}");
    }
}

#[tokio::test]
async fn every_filter_must_take_a_secret() {
    let emulator = Emulator::start().await;
    let create = emulator.client.create_secret();
    create.clone().name("app/a").tags(tag("team", "red")).send().await.unwrap();
    create.clone().name("app/b").send().await.unwrap();
    create.name("other").tags(tag("team", "red")).send().await.unwrap();
    let list = emulator.client.list_secrets().filters(where_(FilterNameStringType::Name, &["app/"]));
    let list = list.filters(where_(FilterNameStringType::TagKey, &["team"])).send().await.unwrap();
    assert!(matches!(list.secret_list(), [secret] if secret.name() == Some("app/a")));
}

#[tokio::test]
async fn pages_follow_one_another_while_secrets_come_and_go() {
    let emulator = Emulator::start().await;
    for number in 0..7 {
        emulator.create(&format!("app/{number}"), "v").await;
        emulator.create(&format!("other/{number}"), "v").await;
    }
    let list = emulator.client.list_secrets().max_results(3);
    let list = list.filters(where_(FilterNameStringType::Name, &["app/"]));
    let mut seen = Vec::new();
    let mut next = None;
    loop {
        let page = list.clone().set_next_token(next).send().await.unwrap();
        seen.push(page.secret_list().iter().map(|secret| secret.name().unwrap().to_owned()).collect::<Vec<_>>());
        next = page.next_token;
        if next.is_none() {
            break;
        }
        // The last entry sent goes: the next page still starts behind it.
        let last = seen.last().and_then(|page| page.last()).unwrap();
        let delete = emulator.client.delete_secret().secret_id(last).force_delete_without_recovery(true);
        delete.send().await.unwrap();
    }
    assert_eq!(seen, [vec!["app/0", "app/1", "app/2"], vec!["app/3", "app/4", "app/5"], vec!["app/6"]]);
}

#[tokio::test]
async fn sorts_as_asked_and_pages_in_that_order() {
    let emulator = Emulator::start().await;
    for name in ["b", "a", "c"] {
        emulator.create(name, "v").await;
        emulator.pass(1);
    }
    emulator.client.update_secret().secret_id("b").description("d").send().await.unwrap();
    emulator.get("a").await;
    let cases = [
        (SortByType::CreatedDate, SortOrderType::Asc, ["b", "a", "c"]),
        (SortByType::CreatedDate, SortOrderType::Desc, ["c", "a", "b"]),
        (SortByType::Name, SortOrderType::Asc, ["a", "b", "c"]),
        (SortByType::Name, SortOrderType::Desc, ["c", "b", "a"]),
        (SortByType::LastChangedDate, SortOrderType::Asc, ["a", "c", "b"]),
        (SortByType::LastAccessedDate, SortOrderType::Desc, ["a", "c", "b"]),
    ];
    for (by, order, expected) in cases {
        let list = emulator.client.list_secrets().sort_by(by.clone()).sort_order(order.clone()).max_results(1);
        let pages = list.into_paginator().send().collect::<Result<Vec<_>, _>>().await.unwrap();
        let names: Vec<_> =
            pages.iter().flat_map(|page| page.secret_list()).filter_map(|secret| secret.name()).collect();
        assert_eq!(names, expected, "{by} {order}");
    }
}
