//! What the functions measure: requests, jobs, providers, verdicts, syncs, refusals of the key pool.
//!
//! # Theory of operation
//! [`Metrics`] is a stack's ear. It stands in the [`Platform`](crate::Platform) and passes on to a [`Sink`] what was
//! measured: on Lambda one that writes CloudWatch's format ([`emf`](super::emf)), in tests one that remembers, in the local
//! stack none. [`Metrics::during`] opens a tally around an invocation; whatever the invocation's task measures meanwhile
//! (the functions below) is added up there, and handed over once, when the invocation has its outcome. So nothing is
//! global, several stacks in a process know nothing of one another, ten thousand calls of a provider come to four
//! numbers and a sample, and where nobody listens there is no tally, and to measure costs a look at the task.
//!
//! What measurements are told apart by ([`Dimensions`]) is made of words that stand in the code, which their type sees to:
//! each value is a metric of its own, and is billed as one, so a tenant's name or an id can never be one.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Ids;

/// So many times of one kind are kept of an invocation: as many as CloudWatch takes at once.
pub const MOST_TIMES: usize = 100;

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident: $unit:ident,)*) => {
        /// Everything that is measured.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric {
            $($(#[$doc])* $name,)*
        }

        impl Metric {
            /// Every metric.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in CloudWatch.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What it is counted in.
            #[must_use]
            pub fn unit(self) -> Unit {
                match self { $(Self::$name => Unit::$unit,)* }
            }
        }
    };
}

metrics! {
    /// Requests that were answered.
    Requests: Count,
    /// Those that were answered with a 5xx.
    ServerErrors: Count,
    /// Those that were answered with a 4xx.
    ClientErrors: Count,
    /// How long a request took, as the function sees it.
    Latency: Milliseconds,
    /// First invocations of a process.
    ColdStarts: Count,
    /// Runs of a job.
    JobRuns: Count,
    /// Those that failed.
    JobFailures: Count,
    /// How long a run took.
    JobDuration: Milliseconds,
    /// Calls of an outside provider; one that was tried twice is one.
    ProviderCalls: Count,
    /// Those that had no answer, or a 5xx.
    ProviderErrors: Count,
    /// Those that were answered with a 429.
    ProviderThrottles: Count,
    /// How long a call took, its second try included.
    ProviderLatency: Milliseconds,
    /// Credentials that were judged.
    Verdicts: Count,
    /// Syncs that came to their end.
    SyncsCompleted: Count,
    /// Syncs that ended without.
    SyncsFailed: Count,
    /// What syncs wrote.
    RecordsStored: Count,
    /// Requests for a pooled key that got none.
    PoolDenials: Count,
    /// Items that a list left out because they cannot be read.
    UnreadableItems: Count,
}

/// What a metric is counted in, in CloudWatch's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Time.
    Milliseconds,
}

impl Unit {
    /// Its name in CloudWatch.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Milliseconds => "Milliseconds",
        }
    }
}

/// What a measurement is told apart by, beside the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimensions {
    /// A request of a group.
    Operation {
        /// The group's name.
        group: &'static str,
        /// The operation's.
        operation: &'static str,
    },
    /// A function, by its binary's name.
    Function(&'static str),
    /// A provider, by its name in `CAUSEWAY_ENDPOINT_<name>`.
    Upstream(&'static str),
    /// A judgement.
    Verdict {
        /// Which group asked.
        group: &'static str,
        /// What came of it.
        verdict: &'static str,
    },
    /// A group.
    Group(&'static str),
    /// Why something was refused.
    Reason(&'static str),
    /// A group's items, and those of all groups together.
    Items(&'static str),
}

impl Dimensions {
    /// The dimensions' names, set by set: CloudWatch keeps the metric once for each set.
    #[must_use]
    pub fn sets(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Operation { .. } => &[&["Stack", "Group"], &["Stack", "Group", "Operation"]],
            Self::Function(_) => &[&["Stack", "Function"]],
            Self::Upstream(_) => &[&["Stack", "Upstream"]],
            Self::Verdict { .. } => &[&["Stack", "Group", "Verdict"]],
            Self::Group(_) => &[&["Stack", "Group"]],
            Self::Reason(_) => &[&["Stack", "Reason"]],
            Self::Items(_) => &[&["Stack"], &["Stack", "Group"]],
        }
    }

    /// Names with values, the stack's left out.
    pub fn values(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let (first, second) = match self {
            Self::Operation { group, operation } => (("Group", group), Some(("Operation", operation))),
            Self::Function(function) => (("Function", function), None),
            Self::Upstream(upstream) => (("Upstream", upstream), None),
            Self::Verdict { group, verdict } => (("Group", group), Some(("Verdict", verdict))),
            Self::Group(group) | Self::Items(group) => (("Group", group), None),
            Self::Reason(reason) => (("Reason", reason), None),
        };
        std::iter::once(first).chain(second)
    }
}

/// What was measured of one kind in an invocation.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// What.
    pub metric: Metric,
    /// Of what.
    pub dimensions: Dimensions,
    /// How much.
    pub amount: Amount,
}

/// How much was measured.
#[derive(Debug, Clone, PartialEq)]
pub enum Amount {
    /// So many; never 0.
    Count(u64),
    /// Each of these, in milliseconds.
    Times(Times),
}

/// Times in milliseconds: all of them up to [`MOST_TIMES`]; of more, every second, every fourth, and so on.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    kept: Vec<f64>,
    every: usize,
    seen: usize,
}

impl Times {
    fn of(first: f64) -> Self {
        Self { kept: vec![first], every: 1, seen: 1 }
    }

    fn add(&mut self, time: f64) {
        let number = self.seen;
        self.seen += 1;
        if self.kept.len() == MOST_TIMES && number.is_multiple_of(self.every) {
            let mut odd = true;
            self.kept.retain(|_| {
                odd = !odd;
                !odd
            });
            self.every *= 2;
        }
        if number.is_multiple_of(self.every) {
            self.kept.push(time);
        }
    }

    /// Those that were kept, in their order.
    #[must_use]
    pub fn kept(&self) -> &[f64] {
        &self.kept
    }
}

/// Everything that was measured in an invocation.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Where.
    pub stack: Arc<str>,
    /// When it ended.
    pub at: Timestamp,
    /// What, in the order in which it was measured first.
    pub measurements: Vec<Measurement>,
}

/// Takes what was measured.
pub trait Sink: Debug + Send + Sync {
    /// Takes an invocation's measurements; before the invocation is answered, so that it should be quick.
    fn take(&self, report: &Report);
}

/// A stack's ear. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    stack: Arc<str>,
    ids: Ids,
    sink: Option<Arc<dyn Sink>>,
    warm: Arc<Mutex<BTreeSet<&'static str>>>,
}

tokio::task_local! {
    static TALLY: RefCell<Vec<Measurement>>;
}

impl Metrics {
    /// Nobody listens.
    #[must_use]
    pub fn unheard(stack: &str, ids: Ids) -> Self {
        Self { stack: stack.into(), ids, sink: None, warm: Arc::default() }
    }

    /// The same, and `sink` listens.
    #[must_use]
    pub fn heard_by(self, sink: Arc<dyn Sink>) -> Self {
        Self { sink: Some(sink), ..self }
    }

    /// True the first time that this function is invoked here.
    #[must_use]
    pub fn is_cold(&self, function: &'static str) -> bool {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner).insert(function)
    }

    /// Runs an invocation, and passes on what it measured.
    pub async fn during<T>(&self, invocation: impl Future<Output = T>) -> T {
        let Some(sink) = &self.sink else { return invocation.await };
        let measured = async {
            let outcome = invocation.await;
            let measurements = TALLY.with(RefCell::take);
            if !measurements.is_empty() {
                sink.take(&Report { stack: Arc::clone(&self.stack), at: self.ids.now(), measurements });
            }
            outcome
        };
        TALLY.scope(RefCell::default(), measured).await
    }
}

/// One measurement on its way into the tally.
#[derive(Debug, Clone, Copy)]
enum More {
    Count(u64),
    Milliseconds(f64),
}

impl Amount {
    fn of(first: More) -> Self {
        match first {
            More::Count(count) => Self::Count(count),
            More::Milliseconds(time) => Self::Times(Times::of(time)),
        }
    }

    fn add(&mut self, more: More) {
        match (self, more) {
            (Self::Count(so_far), More::Count(more)) => *so_far = so_far.saturating_add(more),
            (Self::Times(times), More::Milliseconds(time)) => times.add(time),
            // A metric is always counted in the same unit.
            _ => {}
        }
    }
}

fn tally(metric: Metric, dimensions: Dimensions, more: More) {
    // Fails where nobody listens.
    let _ = TALLY.try_with(|tally| {
        let mut tally = tally.borrow_mut();
        match tally.iter_mut().find(|one| one.metric == metric && one.dimensions == dimensions) {
            Some(known) => known.amount.add(more),
            None => tally.push(Measurement { metric, dimensions, amount: Amount::of(more) }),
        }
    });
}

fn count(metric: Metric, dimensions: Dimensions, more: u64) {
    if more > 0 {
        tally(metric, dimensions, More::Count(more));
    }
}

fn time(metric: Metric, dimensions: Dimensions, taken: Duration) {
    // To the microsecond.
    let milliseconds = (taken.as_secs_f64() * 1_000_000.0).round() / 1_000.0;
    tally(metric, dimensions, More::Milliseconds(milliseconds));
}

/// A request was answered.
pub fn answered(group: &'static str, operation: &'static str, status: u16, taken: Duration) {
    let dimensions = Dimensions::Operation { group, operation };
    count(Metric::Requests, dimensions, 1);
    count(Metric::ServerErrors, dimensions, u64::from(status >= 500));
    count(Metric::ClientErrors, dimensions, u64::from((400..500).contains(&status)));
    time(Metric::Latency, dimensions, taken);
}

/// A process had its first invocation.
pub fn cold_start(function: &'static str) {
    count(Metric::ColdStarts, Dimensions::Function(function), 1);
}

/// A job ran.
pub fn job_ran(function: &'static str, failed: bool, taken: Duration) {
    let dimensions = Dimensions::Function(function);
    count(Metric::JobRuns, dimensions, 1);
    count(Metric::JobFailures, dimensions, u64::from(failed));
    time(Metric::JobDuration, dimensions, taken);
}

/// A provider was called, and answered with this status if it did.
pub fn called(upstream: &'static str, status: Option<u16>, taken: Duration) {
    let dimensions = Dimensions::Upstream(upstream);
    count(Metric::ProviderCalls, dimensions, 1);
    count(Metric::ProviderErrors, dimensions, u64::from(status.is_none_or(|status| status >= 500)));
    count(Metric::ProviderThrottles, dimensions, u64::from(status == Some(429)));
    time(Metric::ProviderLatency, dimensions, taken);
}

/// A credential was judged: `valid`, `limited`, `invalid` or `inconclusive`.
pub fn judged(group: &'static str, verdict: &'static str) {
    count(Metric::Verdicts, Dimensions::Verdict { group, verdict }, 1);
}

/// A sync ended.
pub fn sync_ended(group: &'static str, completed: bool) {
    let metric = if completed { Metric::SyncsCompleted } else { Metric::SyncsFailed };
    count(metric, Dimensions::Group(group), 1);
}

/// A sync wrote so much.
pub fn stored(group: &'static str, records: usize) {
    count(Metric::RecordsStored, Dimensions::Group(group), u64::try_from(records).unwrap_or(u64::MAX));
}

/// A request for a pooled key got none.
pub fn denied(reason: &'static str) {
    count(Metric::PoolDenials, Dimensions::Reason(reason), 1);
}

/// An item of a group cannot be read, and was left out.
pub fn unreadable(group: &'static str) {
    count(Metric::UnreadableItems, Dimensions::Items(group), 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<Report>>);

    impl Sink for Heard {
        fn take(&self, report: &Report) {
            self.0.lock().unwrap().push(report.clone());
        }
    }

    fn ear(stack: &str) -> (Metrics, Arc<Heard>) {
        let heard = Arc::new(Heard::default());
        (Metrics::unheard(stack, Ids::default()).heard_by(heard.clone()), heard)
    }

    fn amounts(heard: &Heard) -> Vec<(&'static str, Amount)> {
        let reports = heard.0.lock().unwrap();
        let measurements = reports.iter().flat_map(|report| &report.measurements);
        measurements.map(|one| (one.metric.name(), one.amount.clone())).collect()
    }

    #[tokio::test]
    async fn an_invocation_is_one_report_and_what_happened_often_is_added_up() {
        let (metrics, heard) = ear("one");
        let taken = Duration::from_micros(1_500);
        metrics
            .during(async {
                called("OKX", Some(200), taken);
                called("OKX", Some(429), taken);
                called("OKX", None, taken);
                judged("wallets", "valid");
                stored("wallets", 3);
                stored("wallets", 0);
                stored("wallets", 4);
            })
            .await;
        assert_eq!(heard.0.lock().unwrap().len(), 1);
        let times = Times { kept: vec![1.5, 1.5, 1.5], every: 1, seen: 3 };
        let expected = [
            ("ProviderCalls", Amount::Count(3)),
            ("ProviderLatency", Amount::Times(times)),
            ("ProviderThrottles", Amount::Count(1)),
            ("ProviderErrors", Amount::Count(1)),
            ("Verdicts", Amount::Count(1)),
            ("RecordsStored", Amount::Count(7)),
        ];
        assert_eq!(amounts(&heard), expected);
    }

    #[tokio::test]
    async fn stacks_in_one_process_hear_their_own() {
        let ((one, by_one), (other, by_other)) = (ear("one"), ear("other"));
        let invocation = async { denied("busy") };
        futures::join!(
            one.during(invocation),
            one.during(async { denied("busy") }),
            other.during(async { denied("inactive") }),
        );
        assert_eq!(amounts(&by_one).len(), 2);
        assert_eq!(amounts(&by_other).len(), 1);
        assert_eq!(&*by_other.0.lock().unwrap()[0].stack, "other");
        // Nobody listens, and nothing happens.
        Metrics::unheard("none", Ids::default()).during(async { denied("busy") }).await;
        denied("busy");
        assert_eq!(amounts(&by_one).len(), 2);
    }

    #[tokio::test]
    async fn an_invocation_that_measured_nothing_is_not_reported() {
        let (metrics, heard) = ear("one");
        assert_eq!(metrics.during(async { 7 }).await, 7);
        assert!(heard.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_function_is_cold_once() {
        let (metrics, _) = ear("one");
        assert!(metrics.is_cold("sweep") && metrics.is_cold("keys-api"));
        assert!(!metrics.clone().is_cold("sweep"));
    }

    #[test]
    fn of_many_times_an_even_sample_is_kept() {
        for total in [1_usize, 99, 100, 101, 150, 10_000, 12_345] {
            let mut times = Times::of(0.0);
            (1..total).for_each(|number| times.add(f64::from(u32::try_from(number).unwrap())));
            let kept = times.kept();
            assert!(kept.len() <= MOST_TIMES && kept.len() >= total.min(MOST_TIMES / 2), "{total}: {}", kept.len());
            assert_eq!(times.seen, total);
            let every = f64::from(u32::try_from(times.every).unwrap());
            assert!(kept.windows(2).all(|pair| (pair[1] - pair[0] - every).abs() < f64::EPSILON), "{total}");
            let last = f64::from(u32::try_from(total - 1).unwrap());
            assert!(last - kept[kept.len() - 1] < every, "{total}");
        }
    }
}
