//! `TagResource` and `UntagResource`.

use crate::emulator::{Emulator, assert_code, tag};

async fn tags(emulator: &Emulator) -> Option<Vec<(String, String)>> {
    let described = emulator.client.describe_secret().secret_id("a").send().await.unwrap();
    described.tags.map(|tags| tags.into_iter().map(|tag| (tag.key.unwrap(), tag.value.unwrap())).collect())
}

#[tokio::test]
async fn an_unknown_secret_is_not_found() {
    let emulator = Emulator::start().await;
    let tagging = emulator.client.tag_resource().secret_id("a").tags(tag("k", "v"));
    assert_code(tagging.send().await, "ResourceNotFoundException");
    let untagging = emulator.client.untag_resource().secret_id("a").tag_keys("k");
    assert_code(untagging.send().await, "ResourceNotFoundException");
}

#[tokio::test]
async fn refuses_what_is_no_tag_and_a_fifty_first() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let tagging = emulator.client.tag_resource().secret_id("a");
    assert_code(tagging.clone().tags(tag("", "v")).send().await, "ValidationException");
    assert_code(tagging.clone().tags(tag(&"k".repeat(129), "v")).send().await, "ValidationException");
    assert_code(tagging.clone().tags(tag("k", &"v".repeat(257))).send().await, "ValidationException");
    assert_code(tagging.clone().tags(tag("aws:k", "v")).send().await, "InvalidParameterException");
    let many = (0..51).map(|number| tag(&number.to_string(), "v")).collect();
    assert_code(tagging.set_tags(Some(many)).send().await, "InvalidParameterException");
    assert_eq!(tags(&emulator).await, None);
}

#[tokio::test]
async fn come_change_and_go() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let tagging = emulator.client.tag_resource().secret_id("a");
    tagging.clone().tags(tag("one", "1")).tags(tag("two", "2")).send().await.unwrap();
    tagging.tags(tag("one", "changed")).tags(tag("One", "3")).send().await.unwrap();
    let pairs = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>())
    };
    assert_eq!(tags(&emulator).await, pairs(&[("one", "changed"), ("two", "2"), ("One", "3")]));
    let untagging = emulator.client.untag_resource().secret_id("a");
    untagging.clone().tag_keys("two").tag_keys("never").send().await.unwrap();
    assert_eq!(tags(&emulator).await, pairs(&[("one", "changed"), ("One", "3")]));
    untagging.tag_keys("one").tag_keys("One").send().await.unwrap();
    assert_eq!(tags(&emulator).await, pairs(&[]));
}
