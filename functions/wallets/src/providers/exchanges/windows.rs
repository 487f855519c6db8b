//! Lists that are asked for by windows of time, one list after the other: which window is next.
//!
//! Each list is read from the moment when the walk began back to where the last walk ended, or to where the list begins.
//! The windows are fixed when the walk begins, so what comes in meanwhile shifts nothing.

use serde::{Deserialize, Serialize};

use crate::providers::Outside;

/// A list that is asked for by windows of time, and the one after it. All times are milliseconds.
pub trait Windowed: Copy {
    /// The list after this one.
    #[must_use]
    fn next(self) -> Self;

    /// Where the list begins, for a walk that ends at `end`.
    fn opened(self, end: i64) -> i64;

    /// How much time one question may span.
    fn window(self) -> i64;
}

/// Where a walk through windows is; a part of what its cursor holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Windows<Stage> {
    /// The list that is read.
    pub stage: Stage,
    /// What is older was seen before.
    pub start: i64,
    /// What is newer is left for the next walk.
    pub end: i64,
    /// Where the present window ends.
    pub to: i64,
}

impl<Stage: Windowed> Windows<Stage> {
    /// Before the first window of the first list. What came so shortly before `until`, the end of the last walk, is read
    /// again: it may have been under way then.
    pub fn begin(stage: Stage, until: Option<i64>, overlap: i64, outside: &Outside<'_>) -> Self {
        let end = outside.provider_now().as_millisecond();
        let start = until.map_or(0, |until| until.saturating_sub(overlap));
        Self { stage, start, end, to: end }
    }

    fn floor(&self) -> i64 {
        self.start.max(self.stage.opened(self.end))
    }

    /// Where the present window starts.
    pub fn from(&self) -> i64 {
        self.floor().max(self.to - self.stage.window() + 1)
    }

    /// True if the present window is the list's last.
    pub fn is_last(&self) -> bool {
        self.from() <= self.floor()
    }

    /// Goes on to the window before the present one, or to the next list.
    pub fn advance(&mut self) {
        if self.is_last() {
            self.leave();
        } else {
            self.to = self.from() - 1;
        }
    }

    /// Goes on to the next list, whatever is left of the present one.
    pub fn leave(&mut self) {
        self.stage = self.stage.next();
        self.to = self.end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two lists: one from 100 on in windows of 30, one of the last 50 in one window.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    enum List {
        Long,
        Recent,
        Over,
    }

    impl Windowed for List {
        fn next(self) -> Self {
            if self == Self::Long { Self::Recent } else { Self::Over }
        }

        fn opened(self, end: i64) -> i64 {
            if self == Self::Long { 100 } else { end - 50 }
        }

        fn window(self) -> i64 {
            if self == Self::Long { 30 } else { i64::MAX / 2 }
        }
    }

    /// The windows of a walk, by list.
    fn walked(start: i64, end: i64) -> Vec<(List, i64, i64)> {
        let mut windows = Windows { stage: List::Long, start, end, to: end };
        let mut asked = Vec::new();
        while windows.stage != List::Over {
            asked.push((windows.stage, windows.from(), windows.to));
            windows.advance();
        }
        asked
    }

    #[test]
    fn each_list_is_asked_back_to_where_it_begins_or_was_seen_before() {
        let long = |from, to| (List::Long, from, to);
        assert_eq!(walked(0, 180), [long(151, 180), long(121, 150), long(100, 120), (List::Recent, 130, 180)]);
        assert_eq!(walked(160, 180), [long(160, 180), (List::Recent, 160, 180)]);
    }

    #[test]
    fn a_list_may_be_left_early() {
        let mut windows = Windows { stage: List::Long, start: 0, end: 180, to: 150 };
        windows.leave();
        assert_eq!((windows.stage, windows.from(), windows.to), (List::Recent, 130, 180));
    }

    #[test]
    fn a_cursor_holds_it_among_its_own_fields() {
        #[derive(Serialize, Deserialize)]
        struct Walk {
            #[serde(flatten)]
            windows: Windows<List>,
            page: usize,
        }
        let stored = r#"{"stage":"Long","start":-1,"end":1780000000000,"to":1779999999999,"page":2}"#;
        let walk: Walk = serde_json::from_str(stored).unwrap();
        assert_eq!((walk.windows.start, walk.windows.to, walk.page), (-1, 1_779_999_999_999, 2));
        assert_eq!(serde_json::to_string(&walk).unwrap(), stored);
    }

    proptest! {
        #[test]
        fn no_moment_is_left_out_and_none_asked_for_twice(start in 0_i64..1_000, length in 0_i64..1_000) {
            let end = 1_000 + length;
            for (list, begins) in [(List::Long, start.max(100)), (List::Recent, start.max(end - 50))] {
                let mut to = end;
                for (_, from, until) in walked(start, end).into_iter().filter(|(one, ..)| *one == list) {
                    prop_assert_eq!(until, to);
                    prop_assert!(from <= until && until - from < list.window());
                    to = from - 1;
                }
                prop_assert_eq!(to, begins - 1);
            }
        }
    }
}
