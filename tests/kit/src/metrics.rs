//! What a stack measures: every report, as exact numbers; and a strict reader of CloudWatch's Embedded Metric Format.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};
use shared::telemetry::emf;
use shared::telemetry::metrics::{Amount, Report, Sink};

/// Remembers everything that was measured.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<Report>>);

impl Sink for Recorder {
    fn take(&self, report: &Report) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(report.clone());
    }
}

impl Recorder {
    /// The reports so far, one an invocation.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets everything.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The sum of a metric over everything that has these dimensions, or the number of its times: `("Group", "keys")`.
    #[must_use]
    pub fn total(&self, metric: &str, dimensions: &[(&str, &str)]) -> u64 {
        let reports = self.reports();
        let measurements = reports.iter().flat_map(|report| &report.measurements);
        let meant = measurements.filter(|one| {
            one.metric.name() == metric
                && dimensions.iter().all(|wanted| one.dimensions.values().any(|has| has == *wanted))
        });
        meant
            .map(|one| match &one.amount {
                Amount::Count(count) => *count,
                Amount::Times(times) => times.kept().len() as u64,
            })
            .sum()
    }

    /// Every count so far, as `Metric{Dimension=value,…} number`, in order; the times left out.
    #[must_use]
    pub fn counts(&self) -> Vec<String> {
        let reports = self.reports();
        let mut sums = std::collections::BTreeMap::<String, u64>::new();
        for one in reports.iter().flat_map(|report| &report.measurements) {
            if let Amount::Count(count) = one.amount {
                let dimensions: Vec<_> =
                    one.dimensions.values().map(|(name, value)| format!("{name}={value}")).collect();
                *sums.entry(format!("{}{{{}}}", one.metric.name(), dimensions.join(","))).or_default() += count;
            }
        }
        sums.into_iter().map(|(name, sum)| format!("{name} {sum}")).collect()
    }

    /// Everything as CloudWatch would get it, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.reports().iter().flat_map(emf::lines).collect()
    }
}

/// A metric as a line defines it.
#[derive(Debug, Clone, PartialEq)]
pub struct Defined {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// The sets of dimensions that it is kept for.
    pub sets: Vec<Vec<String>>,
    /// Its value or values.
    pub values: Vec<f64>,
}

/// A line of metrics, read by every rule of the format.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// When, in milliseconds since 1970.
    pub timestamp: i64,
    /// The metrics.
    pub metrics: Vec<Defined>,
    /// Everything beside `_aws`.
    pub members: Map<String, Value>,
}

impl Line {
    /// Reads a line of a function's output. `None` if it holds no metrics, and is an ordinary line of the log.
    ///
    /// # Panics
    /// If it holds metrics and breaks a rule of the format.
    #[must_use]
    #[track_caller]
    pub fn read(text: &str) -> Option<Self> {
        let Ok(Value::Object(mut members)) = serde_json::from_str(text) else { panic!("no object: {text}") };
        let meta = members.remove("_aws")?;
        assert!(text.len() <= 1024 * 1024 && !text.contains('\n'), "{text}");
        let meta = object(&meta, &["Timestamp", "CloudWatchMetrics"], text);
        let timestamp = meta["Timestamp"].as_i64().unwrap_or_else(|| panic!("no whole milliseconds: {text}"));
        assert!(timestamp > 1_500_000_000_000, "no milliseconds since 1970: {text}");
        let directives = meta["CloudWatchMetrics"].as_array().filter(|list| !list.is_empty());
        let directives = directives.unwrap_or_else(|| panic!("no directives: {text}"));
        let metrics = directives.iter().flat_map(|directive| metrics_of(directive, &members, text)).collect();
        Some(Self { timestamp, metrics, members })
    }
}

/// An object that has these members and no other.
#[track_caller]
fn object<'a>(value: &'a Value, names: &[&str], text: &str) -> &'a Map<String, Value> {
    let object = value.as_object().unwrap_or_else(|| panic!("no object at {value}: {text}"));
    let (has, should): (BTreeSet<_>, BTreeSet<_>) =
        (object.keys().map(String::as_str).collect(), names.iter().copied().collect());
    assert_eq!(has, should, "{text}");
    object
}

#[track_caller]
fn metrics_of(directive: &Value, members: &Map<String, Value>, text: &str) -> Vec<Defined> {
    let directive = object(directive, &["Namespace", "Dimensions", "Metrics"], text);
    assert_eq!(directive["Namespace"], "Causeway", "{text}");
    let sets: Vec<Vec<String>> = serde_json::from_value(directive["Dimensions"].clone()).expect("lists of names");
    assert!(!sets.is_empty(), "{text}");
    for set in &sets {
        assert!((1..=30).contains(&set.len()), "{text}");
        for name in set {
            let value = members.get(name).and_then(Value::as_str);
            let value = value.unwrap_or_else(|| panic!("no text {name}: {text}"));
            assert!((1..=1024).contains(&value.len()) && value.is_ascii(), "{text}");
        }
    }
    let definitions = directive["Metrics"].as_array().expect("a list of metrics");
    assert!((1..=100).contains(&definitions.len()), "{text}");
    let read = |definition| {
        let definition = object(definition, &["Name", "Unit"], text);
        let (name, unit) = (definition["Name"].as_str().expect("a name"), definition["Unit"].as_str().expect("a unit"));
        assert!(["Count", "Milliseconds"].contains(&unit), "{text}");
        let values: Vec<f64> = match members.get(name) {
            Some(Value::Number(number)) => number.as_f64().into_iter().collect(),
            Some(Value::Array(values)) => values.iter().map(|value| value.as_f64().expect("a number")).collect(),
            _ => panic!("no number {name}: {text}"),
        };
        assert!((1..=100).contains(&values.len()), "{text}");
        Defined { name: name.to_owned(), unit: unit.to_owned(), sets: sets.clone(), values }
    };
    definitions.iter().map(read).collect()
}
