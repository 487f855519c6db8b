//! The documents name what there is: every route, every function, every address that can be changed.

use std::collections::BTreeSet;

use local::stack::GROUPS;
use local::template::Template;
use shared::egress::Upstream;

use super::read;

#[test]
fn operations_lists_every_upstream_with_its_default() {
    let rows = |line: &str| {
        let cells: Vec<_> = line.split('`').collect();
        let name = cells.get(1)?.strip_prefix("CAUSEWAY_ENDPOINT_")?;
        let url = cells.get(3).filter(|url| url.starts_with("https://"))?;
        Some((name.to_owned(), (*url).to_owned()))
    };
    let listed: Vec<_> = read("docs/OPERATIONS.md").lines().filter_map(rows).collect();
    let expected: Vec<_> =
        Upstream::ALL.iter().map(|one| (one.name().to_owned(), one.default_url().to_owned())).collect();
    assert_eq!(listed, expected);
}

#[test]
fn the_api_document_lists_every_route() {
    let document = read("docs/API.md");
    let functions = Template::embedded().unwrap().functions().unwrap();
    for group in GROUPS {
        for (method, path) in &functions[group.function].routes {
            assert!(document.contains(&format!("| `{method} {path}` |")), "docs/API.md: {method} {path}");
        }
    }
}

#[test]
fn the_architecture_lists_every_function_and_operations_every_job() {
    let functions: BTreeSet<_> = Template::embedded().unwrap().functions().unwrap().into_keys().collect();
    let (architecture, operations) = (read("docs/ARCHITECTURE.md"), read("docs/OPERATIONS.md"));
    for function in functions {
        assert!(architecture.contains(&format!("| `{function}` |")), "docs/ARCHITECTURE.md: {function}");
        if !function.ends_with("-api") {
            assert!(operations.contains(&format!("| `{function}` |")), "docs/OPERATIONS.md: {function}");
        }
    }
}
