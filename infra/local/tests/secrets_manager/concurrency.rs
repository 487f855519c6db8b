//! What holds when several write at once.

use crate::emulator::{Emulator, assert_code, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_leave_one_current_and_one_previous_version() {
    let directory = tempfile::tempdir().unwrap();
    let emulator = Emulator::on(&directory.path().join("secrets.db")).await;
    emulator.create("a", "0").await;
    let writers = [1_000, 2_000].map(|start| {
        let client = emulator.client.clone();
        tokio::spawn(async move {
            for number in start..start + 25 {
                let put = client.put_secret_value().secret_id("a").secret_string(number.to_string());
                let put = put.client_request_token(token(number)).send().await.unwrap();
                assert_eq!(put.version_stages(), ["AWSCURRENT"]);
                let described = client.describe_secret().secret_id("a").send().await.unwrap();
                let mut labels: Vec<_> = described.version_ids_to_stages.unwrap().into_values().collect();
                labels.sort();
                assert_eq!(labels, [["AWSCURRENT"], ["AWSPREVIOUS"]]);
            }
        })
    });
    for writer in writers {
        writer.await.unwrap();
    }
    let list = emulator.client.list_secret_version_ids().secret_id("a").include_deprecated(true);
    let versions = list.send().await.unwrap().versions.unwrap();
    assert_eq!(versions.len(), 51);
    // The last two made hold the labels.
    let labels: Vec<_> = versions.iter().flat_map(|version| version.version_stages()).collect();
    assert_eq!(labels, ["AWSPREVIOUS", "AWSCURRENT"]);
    assert_eq!(versions[49].version_stages(), ["AWSPREVIOUS"]);
    assert_eq!(emulator.get("a").await.version_id, versions[50].version_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_two_creators_of_a_name_wins() {
    let emulator = Emulator::start().await;
    for round in 0..10 {
        let create =
            |value: &str| emulator.client.create_secret().name(format!("a{round}")).secret_string(value).send();
        let (one, other) = tokio::join!(create("1"), create("2"));
        assert!(one.is_ok() != other.is_ok());
        assert_code(if one.is_ok() { other } else { one }, "ResourceExistsException");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_emulators_on_one_file_take_turns() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets.db");
    let (one, other) = (Emulator::on(&path).await, Emulator::on(&path).await);
    one.create("a", "0").await;
    let write = async |emulator: &Emulator| {
        for number in 0..10 {
            emulator.put("a", &number.to_string(), &[]).await;
        }
    };
    tokio::join!(write(&one), write(&other));
    let list = one.client.list_secret_version_ids().secret_id("a").include_deprecated(true);
    assert_eq!(list.send().await.unwrap().versions().len(), 21);
}
