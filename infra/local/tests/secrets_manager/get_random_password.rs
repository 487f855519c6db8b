//! `GetRandomPassword`.

use std::collections::BTreeSet;

use crate::emulator::{Emulator, assert_code};

#[tokio::test]
async fn refuses_what_cannot_be_done() {
    let emulator = Emulator::start().await;
    let password = emulator.client.get_random_password();
    assert_code(password.clone().password_length(0).send().await, "ValidationException");
    assert_code(password.clone().password_length(4_097).send().await, "ValidationException");
    // Four types do not fit into three characters.
    assert_code(password.clone().password_length(3).send().await, "InvalidParameterException");
    let nothing = password.exclude_lowercase(true).exclude_uppercase(true).exclude_numbers(true);
    assert_code(nothing.exclude_punctuation(true).send().await, "InvalidParameterException");
}

#[tokio::test]
async fn has_32_characters_of_every_type_by_default() {
    let emulator = Emulator::start().await;
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        let made = emulator.client.get_random_password().send().await.unwrap().random_password.unwrap();
        assert_eq!(made.len(), 32);
        assert!(made.chars().any(|c| c.is_ascii_lowercase()), "{made}");
        assert!(made.chars().any(|c| c.is_ascii_uppercase()), "{made}");
        assert!(made.chars().any(|c| c.is_ascii_digit()), "{made}");
        assert!(made.chars().any(|c| c.is_ascii_punctuation()), "{made}");
        seen.insert(made);
    }
    assert_eq!(seen.len(), 20);
}

#[tokio::test]
async fn keeps_to_its_length_and_exclusions() {
    let emulator = Emulator::start().await;
    let password = emulator.client.get_random_password().password_length(4_096);
    let made = password.clone().exclude_punctuation(true).exclude_characters("aA0").include_space(true);
    let made = made.send().await.unwrap().random_password.unwrap();
    assert_eq!(made.len(), 4_096);
    let seen: BTreeSet<char> = made.chars().collect();
    assert_eq!(seen.len(), 26 + 26 + 10 - 3 + 1);
    assert!(seen.contains(&' ') && !seen.contains(&'a') && !seen.contains(&'A') && !seen.contains(&'0'));
    let digits = password.exclude_lowercase(true).exclude_uppercase(true).exclude_punctuation(true);
    let digits = digits.send().await.unwrap().random_password.unwrap();
    assert!(digits.chars().all(|c| c.is_ascii_digit()));
    let short = emulator.client.get_random_password().password_length(1).require_each_included_type(false);
    assert_eq!(short.send().await.unwrap().random_password.unwrap().len(), 1);
}
