//! An operation is named once, in its group's `api/mod.rs`. What has to be written beside that is compared with it here,
//! and every difference says what to do.

use std::collections::BTreeSet;

use local::stack::GROUPS;
use local::template::Template;
use shared::http::{Operation, Operations};

use super::operations::rows;
use super::{Described, document, operations_of};

/// The one operation that keeps its answers in its own way.
const KEEPS_ITS_OWN_ANSWERS: (&str, &str) = ("keys", "acquire_integration");

fn operations(group: &str) -> Operations {
    match group {
        "wallets" => wallets::api::operations(),
        "services" => services::api::operations(),
        "keys" => keys::api::operations(),
        "vaults" => vaults::api::operations(),
        other => panic!("no such group: {other}"),
    }
}

/// What the document of an operation says otherwise than the code.
fn objection(group: &str, known: &Operation, described: &[Described]) -> Option<String> {
    let one = described.iter().find(|one| one.method == known.method.as_str() && one.path == known.path);
    let Some(one) = one else {
        return Some(format!(
            "is not in the OpenAPI document: give its handler `#[utoipa::path]` with this method and path, name it in \
             `paths` of functions/{group}/src/api/openapi.rs, and run `cargo run -- openapi`"
        ));
    };
    if one.id != known.name {
        return Some(format!(
            "is called {} in the OpenAPI document: its handler's `#[utoipa::path]` is another's",
            one.id
        ));
    }
    let takes_key = one.value["parameters"].to_string().contains("/IdempotencyKey");
    let expected = known.is_idempotent || (group, known.name) == KEEPS_ITS_OWN_ANSWERS;
    (takes_key != expected).then(|| {
        format!(
            "takes an Idempotency-Key in one place only: `.idempotent::<…>()` in functions/{group}/src/api/mod.rs and \
             `idempotent` in functions/{group}/src/api/openapi.rs go together"
        )
    })
}

#[test]
fn whatever_an_operation_needs_beside_its_name_is_there() {
    let functions = Template::embedded().unwrap().functions().unwrap();
    let mut missing = Vec::new();
    for group in GROUPS {
        let (name, known, described) = (group.name, operations(group.name), operations_of(&document(group.name)));
        let routes = &functions[group.function].routes;
        let mut names = BTreeSet::new();
        for operation in known.iter() {
            let mut lacks = |what: &str| {
                missing.push(format!("{} ({} {}) of {name} {what}", operation.name, operation.method, operation.path));
            };
            if !names.insert(operation.name) {
                lacks("is there twice: each operation has a name of its own");
            }
            if let Some(objection) = objection(name, operation, &described) {
                lacks(&objection);
            }
            if !routes
                .iter()
                .any(|(method, path)| (method.as_str(), path.as_str()) == (operation.method.as_str(), operation.path))
            {
                lacks(&format!("has no event in template.yaml, under {}", group.function));
            }
            if rows().iter().filter(|row| row.group == name && row.id == operation.name).count() != 1 {
                lacks("has no row, or more than one, in tests/it/openapi/operations.rs: who may call it");
            }
            let file = format!("../../functions/{name}/src/api/{}.rs", operation.name);
            if !std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists() {
                lacks("has no file of its own");
            }
        }
        let is_known =
            |method: &str, path: &str| known.iter().any(|it| (it.method.as_str(), it.path) == (method, path));
        for (method, path) in
            described.iter().map(|one| (&one.method, &one.path)).chain(routes.iter().map(|(m, p)| (m, p)))
        {
            if !is_known(method, path) && !Operations::DESCRIBED_AT.contains(&path.as_str()) {
                missing.push(format!(
                    "{method} {path} is in template.yaml or in the OpenAPI document of {name}, and no operation of \
                     functions/{name}/src/api/mod.rs"
                ));
            }
        }
        for path in Operations::DESCRIBED_AT {
            assert!(routes.contains(&("GET".to_owned(), path.to_owned())), "template.yaml: {path} of {name}");
        }
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}
