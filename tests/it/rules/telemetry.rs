//! What is logged and measured goes by the same names everywhere: operations as their handlers, metrics as the documents.

use std::collections::BTreeSet;

use local::stack::GROUPS;
use local::template::Template;
use shared::http::Operations;
use shared::telemetry::metrics::Metric;

use super::{product, read};

fn operations(group: &str) -> Operations {
    match group {
        "wallets" => wallets::operations::OPERATIONS,
        "services" => services::operations::OPERATIONS,
        "keys" => keys::operations::OPERATIONS,
        "vaults" => vaults::operations::OPERATIONS,
        other => panic!("no such group: {other}"),
    }
}

#[test]
fn every_route_is_an_operation_by_the_name_of_its_handler() {
    let functions = Template::embedded().unwrap().functions().unwrap();
    let product = product();
    for group in GROUPS {
        let Operations(named) = operations(group.name);
        let routes = functions[group.function].routes.iter();
        let routes = routes.filter(|(_, path)| !Operations::DESCRIBED_AT.contains(&path.as_str()));
        let routes = routes.map(|(method, path)| format!("{method} {path}"));
        let (routes, known): (BTreeSet<_>, BTreeSet<_>) =
            (routes.collect(), named.iter().map(|(route, _)| (*route).to_owned()).collect());
        assert_eq!(routes, known, "functions/{}/src/operations.rs", group.name);
        let names: BTreeSet<&str> = named.iter().map(|(_, name)| *name).collect();
        assert_eq!(names.len(), named.len(), "{}: two operations of one name", group.name);
        for name in names {
            let handler = format!("functions/{}/src/api/{name}.rs", group.name);
            assert!(product.iter().any(|source| source.path == handler), "there is no {handler}");
        }
    }
}

#[test]
fn operations_lists_every_metric_with_its_unit() {
    let document = read("docs/OPERATIONS.md");
    for metric in Metric::ALL {
        let row = format!("| `{}` | {} |", metric.name(), metric.unit().name());
        assert!(document.contains(&row), "docs/OPERATIONS.md: {row}");
    }
}
