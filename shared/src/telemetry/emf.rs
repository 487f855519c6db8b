//! Metrics as CloudWatch takes them out of a function's log: the Embedded Metric Format.
//!
//! A line is a JSON object: numbers and texts at its top, and under `_aws` which of the numbers are metrics, and which texts
//! tell them apart. Whatever can share a line does, for each is paid for by its length: a line holds one value of each
//! dimension and each metric once, so the calls of a second provider need a second line. Nothing of a request is in it:
//! the line that says `answered` has that.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::metrics::{Amount, Measurement, Report, Sink};

/// The namespace of every metric.
pub const NAMESPACE: &str = "Causeway";

/// Writes metrics to standard output, for a function on Lambda.
#[derive(Debug, Clone, Copy, Default)]
pub struct Emf;

impl Sink for Emf {
    fn take(&self, report: &Report) {
        let mut output = io::stdout().lock();
        for line in lines(report) {
            // Nothing is left to be told by if this fails.
            let _ = writeln!(output, "{line}");
        }
    }
}

type Sets = &'static [&'static [&'static str]];

/// A line that is being put together.
#[derive(Default)]
struct Document {
    /// The dimensions' values, and the metrics'.
    members: Map<String, Value>,
    /// Metrics by the sets of dimensions that they are kept for.
    directives: Vec<(Sets, Vec<Value>)>,
}

impl Document {
    fn can_take(&self, measurement: &Measurement) -> bool {
        let fits = |(name, value)| self.members.get(name).is_none_or(|known| known == value);
        !self.members.contains_key(measurement.metric.name()) && measurement.dimensions.values().all(fits)
    }

    fn take(&mut self, measurement: &Measurement) {
        let Measurement { metric, dimensions, amount } = measurement;
        for (name, value) in dimensions.values() {
            self.members.insert(name.into(), value.into());
        }
        let value = match amount {
            Amount::Count(count) => json!(count),
            Amount::Times(times) => match times.kept() {
                [one] => json!(one),
                several => json!(several),
            },
        };
        self.members.insert(metric.name().into(), value);
        let definition = json!({ "Name": metric.name(), "Unit": metric.unit().name() });
        match self.directives.iter_mut().find(|(sets, _)| *sets == dimensions.sets()) {
            Some((_, metrics)) => metrics.push(definition),
            None => self.directives.push((dimensions.sets(), vec![definition])),
        }
    }

    fn into_line(self, report: &Report) -> String {
        let directives = self
            .directives
            .into_iter()
            .map(|(sets, metrics)| json!({ "Namespace": NAMESPACE, "Dimensions": sets, "Metrics": metrics }));
        let directives: Vec<Value> = directives.collect();
        let mut line = Map::new();
        let meta = json!({ "Timestamp": report.at.as_millisecond(), "CloudWatchMetrics": directives });
        line.insert("_aws".into(), meta);
        line.insert("Stack".into(), (*report.stack).into());
        line.extend(self.members);
        Value::Object(line).to_string()
    }
}

/// The lines that tell a report, without their ends.
#[must_use]
pub fn lines(report: &Report) -> Vec<String> {
    let mut documents: Vec<Document> = Vec::new();
    for measurement in &report.measurements {
        match documents.iter_mut().find(|document| document.can_take(measurement)) {
            Some(document) => document.take(measurement),
            None => {
                let mut document = Document::default();
                document.take(measurement);
                documents.push(document);
            }
        }
    }
    documents.into_iter().map(|document| document.into_line(report)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use jiff::Timestamp;

    use super::super::metrics::{self, Metrics};
    use super::*;
    use crate::clock::{FixedClock, Ids, SystemRandom};

    #[derive(Debug, Default)]
    struct Written(Mutex<Vec<Value>>);

    impl Sink for Written {
        fn take(&self, report: &Report) {
            let lines = lines(report).into_iter().map(|line| serde_json::from_str(&line).unwrap());
            self.0.lock().unwrap().extend(lines);
        }
    }

    async fn written(invocation: impl Future<Output = ()>) -> Vec<Value> {
        let clock = FixedClock::at(Timestamp::from_second(1_780_000_000).unwrap());
        let sink = Arc::new(Written::default());
        let ids = Ids::new(Arc::new(clock), Arc::new(SystemRandom));
        Metrics::unheard("acme-prod", ids).heard_by(sink.clone()).during(invocation).await;
        std::mem::take(&mut sink.0.lock().unwrap())
    }

    #[tokio::test]
    async fn a_first_request_with_a_check_is_one_line() {
        let lines = written(async {
            metrics::called("SLACK_API", Some(200), Duration::from_millis(21));
            metrics::judged("services", "valid");
            metrics::answered("services", "test_integration", 200, Duration::from_micros(30_250));
            metrics::cold_start("services-api");
        });
        let count = |name: &str| json!({ "Name": name, "Unit": "Count" });
        let time = |name: &str| json!({ "Name": name, "Unit": "Milliseconds" });
        let directive =
            |sets: Value, metrics: Value| json!({ "Namespace": "Causeway", "Dimensions": sets, "Metrics": metrics });
        let expected = json!({
            "_aws": {
                "Timestamp": 1_780_000_000_000_i64,
                "CloudWatchMetrics": [
                    directive(json!([["Stack", "Upstream"]]), json!([count("ProviderCalls"), time("ProviderLatency")])),
                    directive(json!([["Stack", "Group", "Verdict"]]), json!([count("Verdicts")])),
                    directive(
                        json!([["Stack", "Group"], ["Stack", "Group", "Operation"]]),
                        json!([count("Requests"), time("Latency")]),
                    ),
                    directive(json!([["Stack", "Function"]]), json!([count("ColdStarts")])),
                ],
            },
            "Stack": "acme-prod",
            "Upstream": "SLACK_API",
            "ProviderCalls": 1,
            "ProviderLatency": 21.0,
            "Group": "services",
            "Verdict": "valid",
            "Verdicts": 1,
            "Operation": "test_integration",
            "Requests": 1,
            "Latency": 30.25,
            "Function": "services-api",
            "ColdStarts": 1,
        });
        assert_eq!(lines.await, [expected]);
    }

    #[tokio::test]
    async fn what_cannot_share_a_line_gets_its_own() {
        let lines = written(async {
            for (upstream, status) in [("OKX", Some(200)), ("BYBIT", Some(429)), ("OKX", None)] {
                metrics::called(upstream, status, Duration::from_millis(1));
            }
            metrics::judged("wallets", "valid");
            metrics::judged("wallets", "invalid");
            metrics::sync_ended("wallets", true);
        })
        .await;
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!((&lines[0]["Upstream"], &lines[1]["Upstream"]), (&json!("OKX"), &json!("BYBIT")));
        assert_eq!((&lines[0]["ProviderCalls"], &lines[1]["ProviderCalls"]), (&json!(2), &json!(1)));
        assert_eq!((&lines[0]["ProviderErrors"], &lines[1]["ProviderErrors"]), (&json!(1), &Value::Null));
        assert_eq!((&lines[0]["ProviderThrottles"], &lines[1]["ProviderThrottles"]), (&Value::Null, &json!(1)));
        assert_eq!((&lines[0]["Verdict"], &lines[1]["Verdict"]), (&json!("valid"), &json!("invalid")));
        assert_eq!(lines[0]["ProviderLatency"], json!([1.0, 1.0]));
        assert_eq!(lines[0]["SyncsCompleted"], 1);
    }

    #[tokio::test]
    async fn ten_thousand_calls_are_a_short_line() {
        let lines = written(async {
            for _ in 0..10_000 {
                metrics::called("KRAKEN", Some(200), Duration::from_micros(123_456));
            }
        })
        .await;
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["ProviderCalls"], 10_000);
        assert!(lines[0]["ProviderLatency"].as_array().unwrap().len() <= 100);
        assert!(lines[0].to_string().len() < 2_000, "{}", lines[0]);
    }
}
