//! What is measured goes by the same names in the code and in the documents.

use shared::telemetry::metrics::Metric;

use super::read;

#[test]
fn operations_lists_every_metric_with_its_unit() {
    let document = read("docs/OPERATIONS.md");
    for metric in Metric::ALL {
        let row = format!("| `{}` | {} |", metric.name(), metric.unit().name());
        assert!(document.contains(&row), "docs/OPERATIONS.md: {row}");
    }
}
