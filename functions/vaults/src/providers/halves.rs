//! Finds what is bad in a batch that a platform refuses as a whole.
//!
//! Some platforms take many names in a call and refuse them all for one that they do not like, without saying which. The
//! batch is then halved until the bad ones stand alone: n names with one bad among them take about 2 log n calls.

use futures::future::BoxFuture;

use super::Trouble;

/// What one call says of each of its items, in their order; or why it did nothing.
pub(super) type Called<T> = Result<Vec<Result<T, Trouble>>, Trouble>;

/// Calls with all of `items`; where the call is refused, with each half of them. Anything but a refusal ends it: what was
/// not done then has that trouble. The answer is in the items' order.
pub(super) async fn by_halves<'a, I, T>(
    items: &'a [I],
    call: impl Fn(&'a [I]) -> BoxFuture<'a, Called<T>>,
) -> Vec<Result<T, Trouble>> {
    let mut results = Vec::with_capacity(items.len());
    let mut ahead = vec![items];
    let mut stopped: Option<Trouble> = None;
    while let Some(part) = ahead.pop() {
        if part.is_empty() {
            continue;
        }
        let called = match &stopped {
            Some(trouble) => Err(trouble.clone()),
            None => call(part).await,
        };
        match called {
            Ok(mut told) => {
                let unread = || Err(Trouble::Unexpected("The platform did not say what became of it.".into()));
                told.resize_with(part.len(), unread);
                results.extend(told);
            }
            Err(trouble) if trouble.is_refusal() && part.len() > 1 => {
                let (left, right) = part.split_at(part.len() / 2);
                ahead.extend([right, left]);
            }
            Err(trouble) => {
                results.extend(part.iter().map(|_| Err(trouble.clone())));
                // What is missing may be one item of several.
                if !trouble.is_refusal() && !matches!(trouble, Trouble::NotFound(_)) {
                    stopped = Some(trouble);
                }
            }
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;

    use super::*;

    fn refused() -> Trouble {
        Trouble::Refused("No.".into())
    }

    #[tokio::test]
    async fn a_bad_item_does_not_stop_the_others() {
        let calls = AtomicUsize::new(0);
        let items: Vec<usize> = (0..100).collect();
        let results = by_halves(&items, |part| {
            calls.fetch_add(1, Ordering::Relaxed);
            let bad = part.contains(&41);
            async move { if bad { Err(refused()) } else { Ok(part.iter().map(|item| Ok(*item)).collect()) } }.boxed()
        })
        .await;
        for (item, result) in results.iter().enumerate() {
            assert_eq!(*result, if item == 41 { Err(refused()) } else { Ok(item) });
        }
        assert!(calls.load(Ordering::Relaxed) <= 15, "{calls:?}");
    }

    #[tokio::test]
    async fn anything_but_a_refusal_ends_it() {
        let calls = AtomicUsize::new(0);
        let items: Vec<usize> = (0..8).collect();
        let down = Trouble::Down("Down.".into());
        let results: Vec<Result<usize, Trouble>> = by_halves(&items, |part| {
            let trouble = if calls.fetch_add(1, Ordering::Relaxed) == 0 { refused() } else { down.clone() };
            async move { if part.is_empty() { Ok(Vec::new()) } else { Err(trouble) } }.boxed()
        })
        .await;
        assert_eq!(results, vec![Err(down.clone()); 8]);
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }
}
