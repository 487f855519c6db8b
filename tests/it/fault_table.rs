//! The table of what a group's operations were put through: fault by fault at each of their steps, and asked for twice.

use std::io::Write;

use kit::fault_proxy::Fault;

/// Nothing was done, or all of it was and nobody knows; once, or from there on.
pub(crate) const FAULTS: [(&str, Fault, bool); 4] = [
    ("error from there on", Fault::ServerError, true),
    ("error", Fault::ServerError, false),
    ("lost", Fault::LoseAnswer, false),
    ("lost from there on", Fault::LoseAnswer, true),
];

/// The calls that change nothing.
const READS: [&str; 4] = ["BatchGetItem", "GetItem", "GetSecretValue", "Query"];

/// Those that are tried at a call: one that only reads is just refused, for losing its answer is the same.
pub(crate) fn faults(call: &str) -> impl Iterator<Item = (&'static str, Fault, bool)> {
    FAULTS.into_iter().take(if READS.contains(&call) { 1 } else { FAULTS.len() })
}

/// An operation, and what held.
pub(crate) struct Course {
    /// The operation.
    pub(crate) operation: String,
    /// Each step's call, and whether everything ended as it should after each fault that was tried there.
    pub(crate) steps: Vec<(String, Vec<bool>)>,
    /// The same after the operation was asked for, or its event delivered, once more.
    pub(crate) twice: bool,
}

impl Course {
    fn outcomes(&self) -> impl Iterator<Item = bool> {
        self.steps.iter().flat_map(|(_, held)| held.iter().copied()).chain([self.twice])
    }
}

/// Prints the table past libtest, which keeps what a passing test prints to itself, and fails if anything broke.
#[track_caller]
pub(crate) fn assert_all_held(group: &str, faults: &[&str], courses: &[Course]) {
    let word = |held: bool| if held { "held" } else { "BROKEN" };
    let mut text =
        format!("\n{group}: a fault strikes a call, or that call and every later one; then all is asked again\n");
    text.push_str(&format!("{:<34}", ""));
    faults.iter().for_each(|fault| text.push_str(&format!("{fault:<21}")));
    for Course { operation, steps, twice } in courses {
        text.push_str(&format!(
            "\n{operation:<34}{}",
            if *twice { "held when asked for twice" } else { "BROKEN WHEN TWICE" }
        ));
        for (at, (call, held)) in steps.iter().enumerate() {
            text.push_str(&format!("\n{:>4} {call:<29}", at + 1));
            held.iter().for_each(|held| text.push_str(&format!("{:<21}", word(*held))));
        }
    }
    let outcomes: Vec<bool> = courses.iter().flat_map(Course::outcomes).collect();
    let broken = outcomes.iter().filter(|held| !**held).count();
    writeln!(std::io::stdout().lock(), "{text}\n{} cases, {broken} broken\n", outcomes.len()).unwrap();
    assert_eq!(broken, 0, "of {} cases:{text}", outcomes.len());
}
