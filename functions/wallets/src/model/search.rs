//! What a search finds, and in which order.
//!
//! Every word must match one of an integration's texts, each word any of them. A word that stands in a text as it is beats
//! one whose letters stand in it in order, which beats one that is mistyped: by one edit up to five letters, by two beyond
//! (two letters that changed places are one edit). Among equals nucleo's score decides, which likes matches at the
//! beginnings of words, then the order of the list.
//!
//! Addresses and ids are long runs of what could be chance, so a word's letters in order count in them only from eight
//! letters on: enough for the ends of a shortened address, `0x1234…abcd`.

use std::cmp::Reverse;

use jiff::Timestamp;
use nucleo_matcher::pattern::{Atom, AtomKind, CaseMatching, Normalization};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use super::{Slim, WalletId};

/// A mistyped word has at least so many letters; any two letters are like any other two.
const LEAST_FOR_TYPOS: usize = 3;
const LEAST_IN_CODES: usize = 8;
const MOST_WORDS: usize = 16;

/// What is searched for.
#[derive(Debug)]
pub struct Search {
    words: Vec<Word>,
    matcher: Matcher,
}

#[derive(Debug)]
struct Word {
    text: String,
    letters: usize,
    substring: Atom,
    subsequence: Atom,
}

/// How well a word matches: the kind of match, then the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    Typo(u16),
    Subsequence(u16),
    Substring(u16),
}

impl Match {
    fn kind(self) -> u8 {
        match self {
            Self::Typo(_) => 0,
            Self::Subsequence(_) => 1,
            Self::Substring(_) => 2,
        }
    }

    fn score(self) -> u64 {
        match self {
            Self::Typo(score) | Self::Subsequence(score) | Self::Substring(score) => score.into(),
        }
    }
}

/// How well an integration matches: its weakest word's kind of match, then its words' kinds and scores together.
type Relevance = (u8, u64, u64);

impl Search {
    /// A search for `text`; `None` if it has no words.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        // The dots of a shortened address stand for whatever is between.
        let text = text.replace("...", "").replace('…', "");
        let words: Vec<Word> = text.split_whitespace().take(MOST_WORDS).map(Word::new).collect();
        (!words.is_empty()).then(|| Self { words, matcher: Matcher::new(Config::DEFAULT) })
    }

    /// Those that match, the most relevant first.
    #[must_use]
    pub fn among(mut self, all: Vec<Slim>) -> Vec<Slim> {
        let matching = all.into_iter().filter_map(|one| Some((self.relevance(&one)?, one)));
        let mut found: Vec<(Relevance, Slim)> = matching.collect();
        found.sort_by(|(relevance, one), (other_relevance, other)| {
            let key = |relevance: &Relevance, one: &Slim| -> (Reverse<Relevance>, Timestamp, WalletId) {
                (Reverse(*relevance), one.added_on, one.wallet_id.clone())
            };
            key(relevance, one).cmp(&key(other_relevance, other))
        });
        found.into_iter().map(|(_, one)| one).collect()
    }

    fn relevance(&mut self, one: &Slim) -> Option<Relevance> {
        let texts = [one.alias.as_deref(), one.account_name.as_deref(), Some(&*one.public_name), Some(&*one.provider)];
        let codes = [one.address.as_deref(), Some(one.wallet_id.as_str())];
        let (mut weakest, mut kinds, mut scores) = (u8::MAX, 0, 0);
        for word in &self.words {
            let in_texts = texts.iter().flatten().filter_map(|text| word.find(text, 0, &mut self.matcher));
            let best = in_texts.max();
            let in_codes = codes.iter().flatten();
            let in_codes = in_codes.filter_map(|code| word.find(code, LEAST_IN_CODES, &mut self.matcher));
            let best = best.max(in_codes.max())?;
            weakest = weakest.min(best.kind());
            kinds += u64::from(best.kind());
            scores += best.score();
        }
        Some((weakest, kinds, scores))
    }
}

impl Word {
    fn new(text: &str) -> Self {
        let atom = |kind| Atom::new(text, CaseMatching::Ignore, Normalization::Smart, kind, false);
        Self {
            text: text.to_lowercase(),
            letters: text.chars().count(),
            substring: atom(AtomKind::Substring),
            subsequence: atom(AtomKind::Fuzzy),
        }
    }

    /// The best match in one text; letters in order count if the word has `least` of them.
    fn find(&self, text: &str, least: usize, matcher: &mut Matcher) -> Option<Match> {
        let mut buffer = Vec::new();
        let haystack = Utf32Str::new(text, &mut buffer);
        if let Some(score) = self.substring.score(haystack, matcher) {
            return Some(Match::Substring(score));
        }
        if self.letters >= least
            && let Some(score) = self.subsequence.score(haystack, matcher)
        {
            return Some(Match::Subsequence(score));
        }
        let edits = if self.letters <= 5 { 1 } else { 2 };
        if self.letters < LEAST_FOR_TYPOS {
            return None;
        }
        let text = text.to_lowercase();
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        let distance = words.map(|word| strsim::osa_distance(&self.text, word)).min()?;
        (distance <= edits).then(|| Match::Typo(u16::try_from(edits - distance).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Category, Origin, Status};

    fn slim(number: u32, provider: &str, alias: &str, address: Option<&str>) -> Slim {
        Slim {
            wallet_id: WalletId::parse(&format!("wal_{number:021}")).unwrap(),
            provider: provider.to_lowercase(),
            public_name: provider.to_owned(),
            category: Category::Exchange,
            origin: Origin::Api,
            status: Status::Completed,
            alias: Some(alias.to_owned()),
            account_name: None,
            address: address.map(str::to_owned),
            added_on: Timestamp::from_second(i64::from(number)).unwrap(),
        }
    }

    fn found(text: &str) -> Vec<String> {
        let all = vec![
            slim(1, "Binance", "Main Trading Account", None),
            slim(2, "Kraken", "Savings", None),
            slim(3, "Ethereum", "DeFi Wallet", Some("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")),
            slim(4, "OKX", "Überweisungen", None),
            slim(5, "Bitfinex", "Binance mirror", None),
        ];
        let Some(search) = Search::of(text) else { return vec!["everything".into()] };
        search.among(all).into_iter().filter_map(|one| one.alias).collect()
    }

    #[test]
    fn what_is_found() {
        for (text, expected) in [
            ("binance", vec!["Main Trading Account", "Binance mirror"]),
            ("BINANCE", vec!["Main Trading Account", "Binance mirror"]),
            ("savings", vec!["Savings"]),
            ("svngs", vec!["Savings"]),
            ("sabings", vec!["Savings"]),
            ("karken", vec!["Savings"]),
            ("krxxen", vec!["Savings"]),
            ("krxxxn", vec![]),
            ("okz", vec!["Überweisungen"]),
            ("ozz", vec![]),
            ("ok", vec!["Überweisungen"]),
            ("überweisung", vec!["Überweisungen"]),
            ("0x5aaeb6", vec!["DeFi Wallet"]),
            ("0x5aAe...Aed", vec!["DeFi Wallet"]),
            ("wal_000000000000000000002", vec!["Savings"]),
            ("main binance", vec!["Main Trading Account"]),
            ("binance mirror", vec!["Binance mirror"]),
            ("binance savings", vec![]),
            ("zzzz", vec![]),
            ("  ", vec!["everything"]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn a_substring_beats_a_subsequence_beats_a_typo() {
        let all = vec![
            slim(1, "A", "letger", None),
            slim(2, "B", "little edge of a garage, every road", None),
            slim(3, "C", "my ledger", None),
        ];
        let order: Vec<String> =
            Search::of("ledger").unwrap().among(all).into_iter().map(|one| one.public_name).collect();
        assert_eq!(order, ["C", "B", "A"]);
    }

    #[test]
    fn equals_keep_the_order_of_the_list() {
        let all: Vec<Slim> = [3, 1, 2].into_iter().map(|number| slim(number, "Kraken", "same", None)).collect();
        let order: Vec<WalletId> =
            Search::of("kraken").unwrap().among(all).into_iter().map(|one| one.wallet_id).collect();
        assert!(order.is_sorted());
    }

    proptest! {
        #[test]
        fn anything_can_be_searched_for(text in ".{0,60}", alias in ".{0,60}") {
            if let Some(search) = Search::of(&text) {
                let _ = search.among(vec![slim(1, "Kraken", &alias, None)]);
            }
        }

        #[test]
        fn a_word_of_a_text_is_found(before in "[a-z ]{0,20}", word in "[a-z]{1,12}", after in "[a-z ]{0,20}") {
            let all = vec![slim(1, "Kraken", &format!("{before}{word}{after}"), None)];
            prop_assert_eq!(Search::of(&word.to_uppercase()).unwrap().among(all).len(), 1);
        }
    }
}
