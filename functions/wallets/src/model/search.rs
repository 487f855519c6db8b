//! What a search finds, and in which order.
//!
//! Every word must match one of an integration's texts, each word any of them. A word that stands in a text as it is beats
//! one whose letters stand in it in order, which beats one that is mistyped: by one edit up to five letters, by two beyond
//! (two letters that changed places are one edit). Among equals nucleo's score decides, which likes matches at the
//! beginnings of words, then the order of the list.
//!
//! Addresses and ids are long runs of what could be chance, so a word's letters in order count in them only from eight
//! letters on: enough for the ends of a shortened address, `0x1234…abcd`.
//!
//! # How it is quick
//! Most integrations do not match, and most of those lack a letter of the word. So each text is read once, for the set of
//! its letters; what follows, from the cheapest to the dearest, is done only where that set allows it.

use nucleo_matcher::pattern::{Atom, AtomKind, CaseMatching, Normalization};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use super::Slim;

/// A mistyped word has at least so many letters; any two letters are like any other two.
const LEAST_FOR_TYPOS: usize = 3;
const LEAST_IN_CODES: usize = 8;

/// What is searched for.
#[derive(Debug)]
pub struct Search {
    words: Vec<Word>,
    scratch: Scratch,
}

#[derive(Debug)]
struct Word {
    lower: String,
    letters: Letters,
    /// How many letters it has in lower case.
    length: usize,
    /// How many letters it was given with.
    given: usize,
    /// So many edits may make it another word.
    edits: usize,
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
        let words: Vec<Word> = text.split_whitespace().map(Word::new).collect();
        (!words.is_empty()).then(|| Self { words, scratch: Scratch::default() })
    }

    /// Those that match, the most relevant first.
    #[must_use]
    pub fn among(mut self, all: Vec<Slim>) -> Vec<Slim> {
        let matching = all.into_iter().filter_map(|one| Some((self.relevance(&one)?, one)));
        let mut found: Vec<(Relevance, Slim)> = matching.collect();
        found.sort_by(|(relevance, one), (other_relevance, other)| {
            let order = other_relevance.cmp(relevance).then(one.added_on.cmp(&other.added_on));
            order.then_with(|| one.wallet_id.cmp(&other.wallet_id))
        });
        found.into_iter().map(|(_, one)| one).collect()
    }

    fn relevance(&mut self, one: &Slim) -> Option<Relevance> {
        // What there is none of is as good as empty.
        let texts = [
            Text::of(one.alias.as_deref().unwrap_or_default(), 0),
            Text::of(one.account_name.as_deref().unwrap_or_default(), 0),
            Text::of(&one.public_name, 0),
            Text::of(&one.provider, 0),
            Text::of(one.address.as_deref().unwrap_or_default(), LEAST_IN_CODES),
            Text::of(one.wallet_id.as_str(), LEAST_IN_CODES),
        ];
        let may_match = |word: &Word| texts.iter().any(|text| word.letters.not_in(text.letters) <= word.edits);
        if !self.words.iter().all(may_match) {
            return None;
        }
        let (mut weakest, mut kinds, mut scores) = (u8::MAX, 0, 0);
        for word in &self.words {
            let best = word.find(&texts, &mut self.scratch)?;
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
        let (lower, given) = (text.to_lowercase(), text.chars().count());
        let edits = match given {
            ..LEAST_FOR_TYPOS => 0,
            LEAST_FOR_TYPOS..=5 => 1,
            _ => 2,
        };
        Self {
            letters: Letters::of(&lower),
            length: lower.chars().count(),
            lower,
            given,
            edits,
            substring: atom(AtomKind::Substring),
            subsequence: atom(AtomKind::Fuzzy),
        }
    }

    /// The best match in any of the texts: the kinds one after the other, for the better kind is better in any text.
    fn find(&self, texts: &[Text<'_>], scratch: &mut Scratch) -> Option<Match> {
        let able = || texts.iter().filter(|text| self.letters.not_in(text.letters) == 0);
        let whole = able().filter_map(|text| scratch.score(&self.substring, text)).max();
        if let Some(score) = whole {
            return Some(Match::Substring(score));
        }
        let long_enough = able().filter(|text| self.given >= text.least);
        let in_order = long_enough.filter_map(|text| scratch.score(&self.subsequence, text)).max();
        if let Some(score) = in_order {
            return Some(Match::Subsequence(score));
        }
        let fewest = texts.iter().filter_map(|text| self.edits_in(text, &mut scratch.lower)).min()?;
        Some(Match::Typo(u16::try_from(self.edits - fewest).unwrap_or_default()))
    }

    /// The fewest edits that make it one of a text's words, if those are few enough.
    fn edits_in(&self, text: &Text<'_>, lower: &mut String) -> Option<usize> {
        if self.edits == 0 || self.letters.not_in(text.letters) > self.edits {
            return None;
        }
        text.lower_to(lower);
        let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| self.is_like(word));
        words.map(|word| strsim::osa_distance(&self.lower, word)).min().filter(|fewest| *fewest <= self.edits)
    }

    /// False if it takes more edits than may be to make it this word: each adds or removes one letter at most.
    fn is_like(&self, word: &str) -> bool {
        let (length, letters) = (word.chars().count(), Letters::of(word));
        self.length.abs_diff(length) <= self.edits
            && self.letters.not_in(letters) <= self.edits
            && letters.not_in(self.letters) <= self.edits
    }
}

/// A text of an integration.
struct Text<'a> {
    text: &'a str,
    /// Those that it has in lower case; any, if it is not ASCII, where upper and lower case and accents are nucleo's.
    letters: Letters,
    /// A word's letters in order count in it only if they are so many.
    least: usize,
}

impl<'a> Text<'a> {
    fn of(text: &'a str, least: usize) -> Self {
        let letters = if text.is_ascii() { Letters::of(text) } else { Letters::ANY };
        Self { text, letters, least }
    }

    fn lower_to(&self, lower: &mut String) {
        if self.text.is_ascii() {
            lower.clear();
            lower.push_str(self.text);
            lower.make_ascii_lowercase();
        } else {
            *lower = self.text.to_lowercase();
        }
    }
}

/// A set of letters in lower case. Small letters and digits have a bit each; others share some, so a set may seem to hold
/// what it does not.
#[derive(Debug, Clone, Copy)]
struct Letters(u64);

impl Letters {
    const ANY: Self = Self(u64::MAX);

    fn of(text: &str) -> Self {
        let bit = |c: char| {
            let c = u32::from(c.to_ascii_lowercase());
            1_u64 << (c.wrapping_sub((c >> 6).wrapping_mul(33)) & 63)
        };
        Self(text.chars().fold(0, |letters, c| letters | bit(c)))
    }

    /// So many of these at least are not among the others.
    fn not_in(self, others: Self) -> usize {
        (self.0 & !others.0).count_ones() as usize
    }
}

/// What is needed again for each text.
#[derive(Debug)]
struct Scratch {
    matcher: Matcher,
    letters: Vec<char>,
    lower: String,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { matcher: Matcher::new(Config::DEFAULT), letters: Vec::new(), lower: String::new() }
    }
}

impl Scratch {
    fn score(&mut self, atom: &Atom, text: &Text<'_>) -> Option<u16> {
        atom.score(Utf32Str::new(text.text, &mut self.letters), &mut self.matcher)
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Category, Origin, Status, WalletId};

    /// The same by the rules as they are written, every word with every text: slow, and plain.
    fn by_the_rules(searched: &str, all: &[Slim]) -> Vec<Slim> {
        let mut matcher = Matcher::new(Config::DEFAULT);
        let searched = searched.replace("...", "").replace('…', "");
        let mut best_of = |word: &str, text: &str, is_code: bool| {
            let mut score = |kind| {
                let atom = Atom::new(word, CaseMatching::Ignore, Normalization::Smart, kind, false);
                atom.score(Utf32Str::new(text, &mut Vec::new()), &mut matcher)
            };
            let length = word.chars().count();
            if let Some(score) = score(AtomKind::Substring) {
                return Some(Match::Substring(score));
            }
            if let Some(score) = score(AtomKind::Fuzzy).filter(|_| !is_code || length >= 8) {
                return Some(Match::Subsequence(score));
            }
            let edits = if length <= 5 { 1 } else { 2 };
            let (word, text) = (word.to_lowercase(), text.to_lowercase());
            let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            let fewest = words.map(|other| strsim::osa_distance(&word, other)).min()?;
            (length >= 3 && fewest <= edits).then(|| Match::Typo(u16::try_from(edits - fewest).unwrap()))
        };
        let mut found = Vec::new();
        for one in all {
            let texts = [one.alias.as_ref(), one.account_name.as_ref(), Some(&one.public_name), Some(&one.provider)];
            let texts = texts.into_iter().flatten().map(|text| (text.as_str(), false));
            let codes = [one.address.as_deref(), Some(one.wallet_id.as_str())];
            let codes = codes.into_iter().flatten().map(|code| (code, true));
            let all: Vec<(&str, bool)> = texts.chain(codes).collect();
            let mut best = |word| all.iter().filter_map(|(text, is_code)| best_of(word, text, *is_code)).max();
            let best: Option<Vec<Match>> = searched.split_whitespace().map(&mut best).collect();
            if let Some(best) = best {
                let weakest = best.iter().map(|one| one.kind()).min();
                let kinds: u64 = best.iter().map(|one| u64::from(one.kind())).sum();
                let scores: u64 = best.iter().map(|one| one.score()).sum();
                found.push((Reverse((weakest, kinds, scores)), one.added_on, one.wallet_id.clone(), one.clone()));
            }
        }
        found.sort_by_key(|(relevance, added_on, id, _)| (*relevance, *added_on, id.clone()));
        found.into_iter().map(|(.., one)| one).collect()
    }

    /// Words of few letters, so that they are often alike, in and out of ASCII.
    fn words() -> impl Strategy<Value = String> {
        let word = prop_oneof![
            6 => "[a-cA-C1]{1,9}",
            2 => "(savings|binance|KRAKEN|Überweisung|straße|İstanbul|cafe\u{301}|ﬁnance|K2)",
            1 => "[a-cäÉßK0-1.…_-]{1,6}",
            1 => "0x[a-c0-2]{6,20}",
        ];
        proptest::collection::vec(word, 0..4).prop_map(|words| words.join(" "))
    }

    fn any_slim() -> impl Strategy<Value = Slim> {
        let texts = (words(), proptest::option::of(words()), words(), proptest::option::of("[a-c0-2xX]{0,30}"));
        (0..3_u32, texts).prop_map(|(number, (alias, account_name, provider, address))| Slim {
            account_name,
            alias: (!alias.is_empty()).then(|| alias.clone()),
            ..slim(number, &provider, &alias, address.as_deref())
        })
    }

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
    fn every_word_counts_however_many_there_are() {
        let many = "main trading account binance ".repeat(8);
        assert_eq!(found(&many), ["Main Trading Account"]);
        assert!(found(&format!("{many} zzzz")).is_empty());
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
        fn what_is_found_and_in_which_order_is_by_the_rules(
            searched in words(),
            all in proptest::collection::vec(any_slim(), 1..6),
        ) {
            if let Some(search) = Search::of(&searched) {
                prop_assert_eq!(search.among(all.clone()), by_the_rules(&searched, &all));
            }
        }

        #[test]
        fn a_mistyped_word_is_found_by_the_rules(
            word in "[a-cK]{3,9}",
            place in 0..9_usize,
            letter in "[a-cé]",
            before in "[a-c ]{0,6}",
        ) {
            let mut mistyped: Vec<char> = word.chars().collect();
            let place = place % mistyped.len();
            mistyped.splice(place..=place, letter.chars());
            let mistyped: String = mistyped.into_iter().collect();
            let all = vec![slim(1, "Kraken", &format!("{before} {mistyped}"), None), slim(2, "Kraken", &mistyped, None)];
            let found = Search::of(&word).unwrap().among(all.clone());
            prop_assert_eq!(found.len(), 2);
            prop_assert_eq!(found, by_the_rules(&word, &all));
        }

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
