//! What the sources may name, and how they are kept.

use super::{Source, files, names_in, product};

/// The longest a handler and a Lambda main may be.
const LINES: usize = 30;

/// A word, and the only places that may use it: each with the reason why it needs to.
struct Confined {
    word: &'static str,
    to: &'static [(&'static str, &'static str)],
}

const CONFINED: &[Confined] = &[
    Confined {
        word: "aws_sdk_dynamodb",
        to: &[
            ("shared/src/table/", "the only door to the table"),
            ("functions/*/src/store.rs", "a group's own access, where the shared one does not do"),
            ("functions/*/src/store/", "the same, where it is more than one file"),
            ("shared/src/platform.rs", "builds the client and hands it over"),
        ],
    },
    Confined {
        word: "aws_sdk_secretsmanager",
        to: &[
            ("shared/src/credentials.rs", "the only door to the secrets"),
            ("shared/src/platform.rs", "builds the client and hands it over"),
        ],
    },
    Confined {
        word: "keys::audit",
        to: &[("shared/src/audit.rs", "adds to the audit log and reads it; nothing else may name where it is")],
    },
    Confined { word: "reqwest", to: &[("shared/src/egress/", "the only HTTP client")] },
    Confined { word: "hyper", to: &[] },
    Confined {
        word: "expose_secret",
        to: &[
            ("shared/src/credentials.rs", "sends documents to Secrets Manager"),
            ("shared/src/egress/", "sends credentials to providers"),
            ("shared/src/auth/token.rs", "hashes tokens"),
            ("functions/*/src/providers/", "a config is made of them"),
            ("infra/local/src/demo.rs", "writes the demo tenants' to dev.json"),
            ("infra/local/src/secrets_manager/value.rs", "the emulator stores and answers them"),
        ],
    },
    Confined {
        word: "disclose(",
        to: &[
            ("shared/src/credentials.rs", "where it is defined"),
            ("shared/src/platform.rs", "makes the key that cursors are signed with"),
            ("functions/*/src/providers/", "shows a config to a caller who may see it"),
            ("functions/vaults/src/model/fingerprint.rs", "makes a keyed fingerprint of a value"),
            ("functions/vaults/src/store/values.rs", "checks, writes and shows the values of a vault"),
            ("infra/local/src/operate.rs", "shows a client's secret, once, to the operator who had it minted"),
        ],
    },
    Confined {
        word: ".reveal()",
        to: &[
            ("infra/local/src/demo.rs", "writes the demo tenants' tokens to dev.json"),
            ("infra/local/src/operate.rs", "shows a token, once, to the operator who had it minted"),
        ],
    },
];

#[test]
fn only_the_listed_places_use_what_is_confined() {
    let product = product();
    for Confined { word, to } in CONFINED {
        let users: Vec<&Source> = product.iter().filter(|source| source.code().contains(word)).collect();
        for user in &users {
            let reason = to.iter().find(|(form, _)| user.is(form));
            assert!(reason.is_some(), "{} uses {word}, which is confined to {to:?}", user.path);
        }
        for (form, reason) in to.iter().filter(|(form, _)| !form.contains('*')) {
            assert!(users.iter().any(|user| user.is(form)), "{form} needs {word} no more ({reason})");
        }
    }
}

#[test]
fn a_model_knows_neither_aws_nor_the_runtime() {
    let models = product().into_iter();
    let models: Vec<_> =
        models.filter(|it| it.is("functions/*/src/model/") || it.is("functions/*/src/model.rs")).collect();
    assert!(!models.is_empty());
    for model in models {
        for word in ["aws_", "tokio", "lambda_", "axum", "reqwest"] {
            // A keyed hash is no service of AWS.
            let code = model.code().replace("aws_lc_rs", "");
            assert!(!code.contains(word), "{} names {word}", model.path);
        }
    }
}

#[test]
fn functions_depend_on_shared_and_never_on_one_another() {
    let manifests = files("Cargo.toml");
    let functions: Vec<&Source> = manifests.iter().filter(|manifest| manifest.is("functions/*/Cargo.toml")).collect();
    assert!(functions.len() >= 2);
    let names: Vec<&str> = functions.iter().filter_map(|manifest| manifest.path.split('/').nth(1)).collect();
    for manifest in &functions {
        let dependencies = names_in(manifest, "dependencies");
        assert!(dependencies.contains(&"shared".to_owned()), "{} does without shared", manifest.path);
        for dependency in dependencies {
            let function = names.contains(&dependency.trim_start_matches("causeway-"));
            assert!(!function, "{} depends on the function {dependency}", manifest.path);
            let confined = ["reqwest", "hyper", "aws-config", "aws-sdk-secretsmanager"].contains(&dependency.as_str());
            assert!(!confined, "{} depends on {dependency}", manifest.path);
        }
    }
    let shared = manifests.iter().find(|manifest| manifest.is("shared/Cargo.toml")).unwrap();
    let named = names_in(shared, "dependencies");
    assert!(!named.iter().any(|name| names.contains(&name.as_str())), "shared depends on a function: {named:?}");
}

#[test]
fn no_test_is_ignored_no_lint_allowed_and_nothing_left_to_do() {
    // Put together here, so that this file does not hold them.
    let marks = [
        concat!("#[", "ignore"),
        concat!("#[", "allow("),
        concat!("#![", "allow("),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
    ];
    for source in [".rs", ".toml", ".yaml", ".yml", ".json"].into_iter().flat_map(files) {
        for mark in marks {
            assert!(!source.text.contains(mark), "{} has {mark}", source.path);
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for source in files(".rs") {
        let first = source.text.lines().next().unwrap_or_default();
        assert!(first.starts_with("//! "), "{} opens with {first:?}", source.path);
    }
}

/// Each function of a file that rustfmt has formatted, with its number of lines from `fn` to `}`.
fn functions_of(source: &Source) -> Vec<(String, usize)> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent: String = line.chars().take_while(|character| *character == ' ').collect();
        let Some((before, after)) = line.split_once("fn ") else { continue };
        let keywords = ["pub", "async", "const", "pub(super)", "pub(crate)"];
        if !before.split_whitespace().all(|word| keywords.contains(&word)) || line.trim_start().starts_with("//") {
            continue;
        }
        let name = after.split(['(', '<']).next().unwrap_or_default().to_owned();
        let end = if line.ends_with('}') {
            Some(0)
        } else {
            lines[start..].iter().position(|line| *line == format!("{indent}}}"))
        };
        found.push((name, end.unwrap() + 1));
    }
    found
}

#[test]
fn a_handler_reads_as_a_sentence() {
    let operations = product().into_iter().filter(|source| source.is("functions/*/src/api/"));
    let operations: Vec<_> =
        operations.filter(|source| !["mod", "wire", "input", "openapi"].contains(&source.stem())).collect();
    assert!(operations.len() >= 9);
    for source in operations {
        let functions = functions_of(&source);
        let handler = functions.iter().any(|(name, _)| name == source.stem());
        assert!(handler, "{} has no handler of its own name", source.path);
        for (name, lines) in functions {
            assert!(lines <= LINES, "{name} in {} has {lines} lines; {LINES} are the most", source.path);
        }
    }
}

#[test]
fn a_lambda_main_only_starts_something() {
    let mains: Vec<_> = product().into_iter().filter(|source| source.is("functions/*/src/bin/")).collect();
    assert!(mains.len() >= 3);
    for main in mains {
        assert!(main.lines() <= LINES, "{} has {} lines; {LINES} are the most", main.path, main.lines());
    }
}

#[test]
fn lengths_are_counted_as_a_reader_would() {
    let text = "//! x\nfn one() {}\n\npub(super) async fn two(\n    a: u8,\n) -> u8 {\n    a\n}\n\nimpl X {\n    \
                fn three() {\n    }\n}\n// fn four() {\n";
    let source = Source { path: "x.rs".into(), text: text.into() };
    assert_eq!(functions_of(&source), [("one".into(), 1), ("two".into(), 5), ("three".into(), 2)]);
}
