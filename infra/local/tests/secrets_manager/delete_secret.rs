//! `DeleteSecret`: at once, or after a time in which it can be taken back.

use crate::emulator::{DAY, Emulator, REMOVED, START, assert_code, assert_refused, tag};

#[tokio::test]
async fn an_unknown_secret_is_not_found() {
    let emulator = Emulator::start().await;
    assert_code(emulator.client.delete_secret().secret_id("a").send().await, "ResourceNotFoundException");
}

#[tokio::test]
async fn refuses_a_window_outside_7_to_30_days() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    for days in [-1, 0, 6, 31] {
        assert_refused(
            emulator.client.delete_secret().secret_id("a").recovery_window_in_days(days).send().await,
            "InvalidParameterException",
            "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
        );
    }
    assert_eq!(emulator.get("a").await.secret_string.as_deref(), Some("v"));
}

#[tokio::test]
async fn refuses_force_with_a_window() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let delete = emulator.client.delete_secret().secret_id("a").recovery_window_in_days(7);
    assert_refused(
        delete.clone().force_delete_without_recovery(true).send().await,
        "InvalidParameterException",
        "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
    );
    delete.force_delete_without_recovery(false).send().await.unwrap();
}

#[tokio::test]
async fn a_deleted_secret_refuses_everything_but_describe_restore_and_the_list_of_versions() {
    let emulator = Emulator::start().await;
    let version = emulator.create("a", "v").await;
    let client = &emulator.client;
    client.delete_secret().secret_id("a").send().await.unwrap();
    let code = "InvalidRequestException";
    assert_refused(client.get_secret_value().secret_id("a").send().await, code, REMOVED);
    assert_refused(client.put_secret_value().secret_id("a").secret_string("w").send().await, code, REMOVED);
    assert_refused(client.update_secret().secret_id("a").description("d").send().await, code, REMOVED);
    assert_refused(client.delete_secret().secret_id("a").send().await, code, REMOVED);
    assert_refused(client.tag_resource().secret_id("a").tags(tag("k", "v")).send().await, code, REMOVED);
    assert_refused(client.untag_resource().secret_id("a").tag_keys("k").send().await, code, REMOVED);
    let label = client.update_secret_version_stage().secret_id("a").version_stage("l").move_to_version_id(version);
    assert_refused(label.send().await, code, REMOVED);
    assert_refused(
        client.create_secret().name("a").secret_string("v").send().await,
        code,
        "You can't create this secret because a secret with this name is already scheduled for deletion.",
    );
    client.describe_secret().secret_id("a").send().await.unwrap();
    client.list_secret_version_ids().secret_id("a").send().await.unwrap();
    client.restore_secret().secret_id("a").send().await.unwrap();
}

#[tokio::test]
async fn the_deletion_date_is_now_plus_the_window_of_30_days_by_default() {
    let emulator = Emulator::start().await;
    for (name, window, days) in [("a", None, 30), ("b", Some(7), 7), ("c", Some(30), 30)] {
        emulator.create(name, "v").await;
        emulator.pass(1);
        let delete = emulator.client.delete_secret().secret_id(name).set_recovery_window_in_days(window);
        let deleted = delete.send().await.unwrap();
        assert_eq!(deleted.deletion_date.unwrap().secs(), emulator.now() + days * DAY);
        let described = emulator.client.describe_secret().secret_id(name).send().await.unwrap();
        assert_eq!(described.deleted_date, deleted.deletion_date);
    }
}

#[tokio::test]
async fn a_secret_is_gone_when_its_date_has_passed() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let arn = emulator.arn("a").await;
    emulator.client.delete_secret().secret_id("a").recovery_window_in_days(7).send().await.unwrap();
    emulator.pass(7 * DAY - 1);
    emulator.client.describe_secret().secret_id("a").send().await.unwrap();
    emulator.pass(1);
    assert_code(emulator.client.describe_secret().secret_id("a").send().await, "ResourceNotFoundException");
    assert_code(emulator.client.restore_secret().secret_id(&arn).send().await, "ResourceNotFoundException");
    emulator.create("a", "w").await;
    assert_ne!(emulator.arn("a").await, arn);
    assert_eq!(emulator.get("a").await.secret_string.as_deref(), Some("w"));
}

#[tokio::test]
async fn force_deletes_at_once() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let force = emulator.client.delete_secret().secret_id("a").force_delete_without_recovery(true);
    assert_eq!(force.send().await.unwrap().deletion_date.unwrap().secs(), START);
    assert_code(emulator.client.describe_secret().secret_id("a").send().await, "ResourceNotFoundException");
    emulator.create("a", "w").await;
    assert_eq!(emulator.labels("a").await.len(), 1);
}

#[tokio::test]
async fn force_deletes_a_scheduled_secret_and_one_that_is_not_there() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    emulator.client.delete_secret().secret_id("a").send().await.unwrap();
    for _ in 0..2 {
        let force = emulator.client.delete_secret().secret_id("a").force_delete_without_recovery(true);
        assert_eq!(force.send().await.unwrap().name.as_deref(), Some("a"));
    }
    assert_code(emulator.client.describe_secret().secret_id("a").send().await, "ResourceNotFoundException");
}
