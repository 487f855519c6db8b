//! `BatchGetSecretValue`.

use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::FilterNameStringType;

use crate::emulator::{Emulator, REMOVED, assert_code, where_};

#[tokio::test]
async fn needs_either_ids_or_filters() {
    let emulator = Emulator::start().await;
    let batch = emulator.client.batch_get_secret_value();
    assert_code(batch.clone().send().await, "InvalidParameterException");
    let both = batch.secret_id_list("a").filters(where_(FilterNameStringType::Name, &["a"]));
    assert_code(both.send().await, "InvalidParameterException");
}

#[tokio::test]
async fn takes_pages_only_with_filters_and_twenty_ids_at_most() {
    let emulator = Emulator::start().await;
    let batch = emulator.client.batch_get_secret_value();
    assert_code(batch.clone().secret_id_list("a").max_results(1).send().await, "InvalidParameterException");
    let filtered = batch.clone().filters(where_(FilterNameStringType::Name, &["a"]));
    assert_code(filtered.max_results(21).send().await, "ValidationException");
    let many = (0..21).map(|number| number.to_string()).collect();
    assert_code(batch.clone().set_secret_id_list(Some(many)).send().await, "ValidationException");
    assert_code(batch.set_secret_id_list(Some(Vec::new())).send().await, "ValidationException");
}

#[tokio::test]
async fn reports_an_error_for_each_id_that_has_no_value() {
    let emulator = Emulator::start().await;
    emulator.create("a", "1").await;
    emulator.create("deleted", "2").await;
    emulator.client.create_secret().name("empty").send().await.unwrap();
    emulator.client.delete_secret().secret_id("deleted").send().await.unwrap();
    let ids = ["deleted", "empty", "missing", "not a name", "a"].map(str::to_owned).to_vec();
    let got = emulator.client.batch_get_secret_value().set_secret_id_list(Some(ids)).send().await.unwrap();
    let errors: Vec<_> =
        got.errors().iter().map(|error| (error.secret_id().unwrap(), error.error_code().unwrap())).collect();
    let expected = [
        ("deleted", "InvalidRequestException"),
        ("empty", "ResourceNotFoundException"),
        ("missing", "ResourceNotFoundException"),
        ("not a name", "ValidationException"),
    ];
    assert_eq!(errors, expected);
    assert_eq!(got.errors()[0].message(), Some(REMOVED));
    let values: Vec<_> = got.secret_values().iter().map(|value| value.secret_string().unwrap()).collect();
    assert_eq!(values, ["1"]);
}

#[tokio::test]
async fn returns_the_current_values_of_ids_by_name_and_arn() {
    let emulator = Emulator::start().await;
    emulator.create("a", "1").await;
    emulator.put("a", "2", &[]).await;
    let create = emulator.client.create_secret().name("b").secret_binary(Blob::new(*b"bytes"));
    let arn = create.send().await.unwrap().arn.unwrap();
    let batch = emulator.client.batch_get_secret_value().secret_id_list("a").secret_id_list(&arn);
    let got = batch.send().await.unwrap();
    let values = got.secret_values();
    assert_eq!(values[0].secret_string(), Some("2"));
    assert_eq!(values[0].version_stages(), ["AWSCURRENT"]);
    assert_eq!((values[1].secret_binary(), values[1].arn()), (Some(&Blob::new(*b"bytes")), Some(arn.as_str())));
    assert!(got.errors().is_empty());
}

#[tokio::test]
async fn pages_through_what_the_filters_take() {
    let emulator = Emulator::start().await;
    for number in 0..5 {
        emulator.create(&format!("app/{number}"), &number.to_string()).await;
    }
    emulator.create("other", "v").await;
    emulator.client.delete_secret().secret_id("app/4").send().await.unwrap();
    let batch = emulator.client.batch_get_secret_value().max_results(3);
    let batch = batch.filters(where_(FilterNameStringType::Name, &["app/"]));
    let first = batch.clone().send().await.unwrap();
    let second = batch.set_next_token(first.next_token.clone()).send().await.unwrap();
    let values = [first.secret_values(), second.secret_values()].concat();
    let values: Vec<_> = values.iter().map(|value| value.secret_string().unwrap()).collect();
    assert_eq!(values, ["0", "1", "2", "3"]);
    assert_eq!((second.next_token, second.errors.unwrap()), (None, Vec::new()));
}
