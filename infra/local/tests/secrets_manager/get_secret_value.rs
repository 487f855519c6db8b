//! `GetSecretValue`.

use aws_sdk_secretsmanager::primitives::Blob;

use crate::emulator::{DAY, Emulator, START, assert_refused, token};

#[tokio::test]
async fn an_unknown_secret_is_not_found() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let arn = emulator.arn("a").await;
    let other_suffix = format!("{}-000000", arn.rsplit_once('-').unwrap().0);
    let unknown = ["b", "A", "arn:aws:secretsmanager:eu-west-1:000000000000:secret:b", &other_suffix, &arn[..9]];
    for id in unknown {
        assert_refused(
            emulator.client.get_secret_value().secret_id(id).send().await,
            "ResourceNotFoundException",
            "Secrets Manager can't find the specified secret.",
        );
    }
}

#[tokio::test]
async fn an_unknown_version_or_label_is_not_found() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let get = emulator.client.get_secret_value().secret_id("a");
    assert_refused(
        get.clone().version_id(token(9)).send().await,
        "ResourceNotFoundException",
        &format!("Secrets Manager can't find the specified secret value for VersionId: {}", token(9)),
    );
    assert_refused(
        get.version_stage("AWSPREVIOUS").send().await,
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret value for staging label: AWSPREVIOUS",
    );
}

#[tokio::test]
async fn a_version_and_a_label_must_agree() {
    let emulator = Emulator::start().await;
    let first = emulator.create("a", "v").await;
    emulator.put("a", "w", &[]).await;
    let get = emulator.client.get_secret_value().secret_id("a").version_id(first);
    assert_refused(
        get.clone().version_stage("AWSCURRENT").send().await,
        "InvalidRequestException",
        "You provided a VersionStage that is not associated to the provided VersionId.",
    );
    let got = get.version_stage("AWSPREVIOUS").send().await.unwrap();
    assert_eq!(got.secret_string.as_deref(), Some("v"));
}

#[tokio::test]
async fn finds_a_secret_by_name_arn_and_partial_arn() {
    let emulator = Emulator::start().await;
    emulator.create("team/a", "v").await;
    emulator.create("team/a-abcdef", "w").await;
    let arn = emulator.arn("team/a").await;
    let (partial, _) = arn.rsplit_once('-').unwrap();
    for id in ["team/a", &arn, partial] {
        let got = emulator.get(id).await;
        assert_eq!((got.secret_string.as_deref(), got.name.as_deref()), (Some("v"), Some("team/a")), "{id}");
        assert_eq!(got.arn.as_ref(), Some(&arn));
    }
}

#[tokio::test]
async fn returns_a_string_as_a_string_and_a_binary_as_a_binary() {
    let emulator = Emulator::start().await;
    emulator.create("string", "gr\u{fc}\u{df} \"\\\n\u{1f511}\0").await;
    let bytes: Vec<u8> = (0..=255).collect();
    let create = emulator.client.create_secret().name("binary").secret_binary(Blob::new(bytes.clone()));
    create.send().await.unwrap();
    let got = emulator.get("string").await;
    assert_eq!(got.secret_string.as_deref(), Some("gr\u{fc}\u{df} \"\\\n\u{1f511}\0"));
    assert_eq!(got.secret_binary, None);
    let got = emulator.get("binary").await;
    assert_eq!((got.secret_string, got.secret_binary), (None, Some(Blob::new(bytes))));
}

#[tokio::test]
async fn a_version_keeps_its_own_date() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    emulator.pass(60);
    emulator.put("a", "w", &[]).await;
    assert_eq!(emulator.get("a").await.created_date.unwrap().secs(), START + 60);
    let previous = emulator.client.get_secret_value().secret_id("a").version_stage("AWSPREVIOUS");
    assert_eq!(previous.send().await.unwrap().created_date.unwrap().secs(), START);
}

#[tokio::test]
async fn a_read_shows_as_the_day_of_last_access() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let describe = emulator.client.describe_secret().secret_id("a");
    assert_eq!(describe.clone().send().await.unwrap().last_accessed_date, None);
    emulator.get("a").await;
    let midnight = START - START % DAY;
    let described = describe.clone().send().await.unwrap();
    assert_eq!(described.last_accessed_date.unwrap().secs(), midnight);
    // Reading is not changing.
    assert_eq!(described.last_changed_date.unwrap().secs(), START);
    emulator.pass(DAY);
    emulator.get("a").await;
    assert_eq!(describe.send().await.unwrap().last_accessed_date.unwrap().secs(), midnight + DAY);
    let versions = emulator.client.list_secret_version_ids().secret_id("a").send().await.unwrap();
    assert_eq!(versions.versions()[0].last_accessed_date.unwrap().secs(), midnight + DAY);
}
