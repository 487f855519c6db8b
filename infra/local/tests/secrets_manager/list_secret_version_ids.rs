//! `ListSecretVersionIds`.

use crate::emulator::{Emulator, assert_code};

async fn versions(emulator: &Emulator, include_deprecated: bool) -> Vec<(String, Vec<String>)> {
    let list = emulator.client.list_secret_version_ids().secret_id("a").include_deprecated(include_deprecated);
    let listed = list.send().await.unwrap().versions.unwrap();
    listed.into_iter().map(|v| (v.version_id.unwrap(), v.version_stages.unwrap_or_default())).collect()
}

#[tokio::test]
async fn an_unknown_secret_is_not_found() {
    let emulator = Emulator::start().await;
    let list = emulator.client.list_secret_version_ids().secret_id("a");
    assert_code(list.send().await, "ResourceNotFoundException");
}

#[tokio::test]
async fn refuses_a_page_of_no_or_more_than_100_entries_and_a_token_of_its_own_making() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let list = emulator.client.list_secret_version_ids().secret_id("a");
    assert_code(list.clone().max_results(0).send().await, "ValidationException");
    assert_code(list.clone().max_results(101).send().await, "ValidationException");
    assert_code(list.next_token("nonsense").send().await, "InvalidNextTokenException");
}

#[tokio::test]
async fn hides_versions_without_labels_unless_asked() {
    let emulator = Emulator::start().await;
    let first = emulator.create("a", "1").await;
    let second = emulator.put("a", "2", &[]).await;
    let third = emulator.put("a", "3", &[]).await;
    let labelled = [(second, vec!["AWSPREVIOUS".to_owned()]), (third, vec!["AWSCURRENT".to_owned()])];
    assert_eq!(versions(&emulator, false).await, labelled);
    let all: Vec<_> = [(first, Vec::new())].into_iter().chain(labelled).collect();
    assert_eq!(versions(&emulator, true).await, all);
}

#[tokio::test]
async fn pages_follow_one_another() {
    let emulator = Emulator::start().await;
    let mut made = vec![emulator.create("a", "0").await];
    for number in 1..5 {
        made.push(emulator.put("a", &number.to_string(), &[]).await);
    }
    let list = emulator.client.list_secret_version_ids().secret_id("a").include_deprecated(true).max_results(2);
    let mut seen = Vec::new();
    let mut sizes = Vec::new();
    let mut next = None;
    loop {
        let page = list.clone().set_next_token(next).send().await.unwrap();
        sizes.push(page.versions().len());
        seen.extend(page.versions.unwrap().into_iter().filter_map(|version| version.version_id));
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(seen, made);
}

#[tokio::test]
async fn names_the_key() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let list = emulator.client.list_secret_version_ids().secret_id("a");
    let listed = list.clone().send().await.unwrap();
    assert_eq!(listed.versions()[0].kms_key_ids(), ["DefaultEncryptionKey"]);
    emulator.client.update_secret().secret_id("a").kms_key_id("alias/mine").send().await.unwrap();
    assert_eq!(list.send().await.unwrap().versions()[0].kms_key_ids(), ["alias/mine"]);
}
