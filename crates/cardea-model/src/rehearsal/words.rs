//! Words of texts: split, normalised, and compared.

/// A word with its position in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word<'a> {
    /// Text as written.
    pub(super) text: &'a str,
    /// Lower case, without its ending.
    pub(super) stem: String,
    /// Byte offsets in the text.
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Words that concern how something is asked, not what.
const STOP: &[&str] = &[
    "a", "about", "all", "am", "an", "and", "any", "are", "as", "at", "be", "been", "by", "can", "could",
    "did", "do", "does", "for", "from", "get", "give", "had", "has", "have", "he", "her", "him", "his",
    "how", "i", "if", "in", "into", "is", "it", "its", "let", "like", "look", "may", "me", "my", "need",
    "now", "of", "on", "or", "our", "out", "please", "see", "she", "should", "show", "so", "some", "tell",
    "that", "the", "their", "them", "then", "there", "these", "they", "this", "to", "up", "us", "want",
    "was", "we", "were", "what", "when", "where", "which", "who", "will", "with", "would", "you", "your",
    "s", "t", "re", "ve", "ll", "im", "id", "just", "thanks", "thank", "hi", "hello", "hey", "also",
    "lookup", "retrieve", "fetch", "pull",
];

/// Words that ask to see something.
pub(super) const LOOKING: &[&str] =
    &["show", "list", "display", "view", "see", "get", "find", "search", "look", "check", "track"];

/// Returns whether the word carries no content of its own.
pub(super) fn is_stop(word: &str) -> bool {
    STOP.contains(&word)
}

/// Returns the words of a text: runs of letters and digits, split at `_`, `-` and case changes.
pub(super) fn words(text: &str) -> Vec<Word<'_>> {
    let mut out = Vec::new();
    let mut start = None;
    let mut before = ' ';
    for (place, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let inside = c.is_alphanumeric();
        let hump = before.is_lowercase() && c.is_uppercase();
        if let (Some(from), true) = (start, !inside || hump) {
            out.extend(word(text, from, place));
            start = None;
        }
        if inside && start.is_none() {
            start = Some(place);
        }
        before = c;
    }
    out
}

fn word(text: &str, start: usize, end: usize) -> Option<Word<'_>> {
    let text = text.get(start..end)?;
    Some(Word { text, stem: stem(&text.to_lowercase()), start, end })
}

/// Returns the stems of the content words.
pub(super) fn content(text: &str) -> Vec<String> {
    let all = words(text).into_iter().filter(|word| !is_stop(&word.text.to_lowercase()));
    all.map(|word| word.stem).collect()
}

/// Returns a word without its English ending. Simple on purpose: it only needs to unify forms of one word.
pub(super) fn stem(word: &str) -> String {
    let long = |rest: &str, least: usize| rest.chars().count() >= least;
    let cut = |suffix: &str, least: usize| word.strip_suffix(suffix).filter(|rest| long(rest, least));
    if let Some(rest) = cut("ies", 2) {
        return format!("{rest}y");
    }
    for suffix in ["sses", "shes", "ches", "xes"] {
        if let Some(rest) = cut("es", 2).filter(|_| word.ends_with(suffix)) {
            return rest.to_owned();
        }
    }
    if let Some(rest) = cut("ing", 3).or_else(|| cut("ed", 3)) {
        return undouble(rest);
    }
    if word.ends_with("ss") || word.ends_with("us") || word.ends_with("is") {
        return word.to_owned();
    }
    cut("s", 2).map_or_else(|| undouble(word), undouble)
}

/// Unifies `shipped` and `ship`, `close` and `closing`.
fn undouble(word: &str) -> String {
    let mut letters = word.chars().rev();
    let (last, before) = (letters.next(), letters.next());
    let kept = if word.chars().count() > 5 { "aeious" } else { "aeiouls" };
    let doubled = last == before && last.is_some_and(|c| c.is_alphabetic() && !kept.contains(c));
    if doubled || (last == Some('e') && word.chars().count() > 4) {
        let mut word = word.to_owned();
        word.pop();
        return word;
    }
    word.to_owned()
}

/// Returns the words of an identifier such as `order_id` or `customerId`, lower case.
pub(super) fn name_words(name: &str) -> Vec<String> {
    words(name).into_iter().map(|word| word.text.to_lowercase()).collect()
}

/// Returns whether two words are equal except for one typing error. Short words must be equal.
pub(super) fn alike(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let (short, long) = if a.len() <= b.len() { (&a, &b) } else { (&b, &a) };
    if short.len() < 5 || long.len() - short.len() > 1 {
        return false;
    }
    let head = short.iter().zip(long.iter()).take_while(|(x, y)| x == y).count();
    let tail = short.iter().rev().zip(long.iter().rev()).take_while(|(x, y)| x == y).count();
    if short.len() < long.len() {
        return head + tail >= short.len();
    }
    let swapped = head + tail + 2 == long.len() && short.get(head) == long.get(head + 1);
    head + tail + 1 >= long.len() || (swapped && short.get(head + 1) == long.get(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_one_word_come_together_and_different_words_do_not() {
        let same = [
            ("refunds", "refund"),
            ("refunded", "refunding"),
            ("shipped", "shipping"),
            ("close", "closed"),
            ("queries", "query"),
            ("cancel", "cancelled"),
            ("addresses", "address"),
            ("escalate", "escalating"),
        ];
        for (a, b) in same {
            assert!(
                stem(a) == stem(b) || stem(a).starts_with(&stem(b)) || stem(b).starts_with(&stem(a)),
                "{a} {b}"
            );
        }
        for (a, b) in [("status", "state"), ("order", "offer"), ("note", "not"), ("ship", "shop")] {
            assert_ne!(stem(a), stem(b), "{a} {b}");
        }
    }

    #[test]
    fn one_slip_of_the_finger_is_forgiven_in_long_words_only() {
        for (a, b) in
            [("pending", "pendng"), ("urgent", "urgnet"), ("refunds", "refund"), ("billing", "biling")]
        {
            assert!(alike(a, b), "{a} {b}");
        }
        for (a, b) in [("high", "nigh"), ("open", "oven"), ("pending", "spending2"), ("closed", "closest")] {
            assert!(!alike(a, b), "{a} {b}");
        }
    }

    #[test]
    fn identifiers_are_split_where_people_see_words() {
        assert_eq!(name_words("customerId"), ["customer", "id"]);
        assert_eq!(name_words("ops__get_order"), ["ops", "get", "order"]);
    }
}
