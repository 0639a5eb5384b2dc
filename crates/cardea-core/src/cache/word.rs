//! A word of a text, in the spellings in which it is compared.

use super::lexicon::{CURRENCIES, NEGATIONS, NUMBERS, STOP};

/// A word of a request.
#[derive(Debug, Clone)]
pub(super) struct Word {
    /// Lower case, without punctuation at its ends.
    pub(super) low: String,
    pub(super) stem: String,
    /// Whether it is a name: capitalised where a plain word would not be.
    pub(super) name: bool,
    /// A number or code in canonical spelling.
    pub(super) number: Option<String>,
    pub(super) stop: bool,
    /// Whether it is possessive: `Ann's`.
    pub(super) owns: bool,
    /// Whether a comma or another mark follows, so that the next word begins another part.
    pub(super) ends: bool,
}

impl Word {
    /// Parses a word. `fresh` is true at the beginning of a sentence, where a capital does not mark a name.
    pub(super) fn new(core: &str, fresh: bool) -> Self {
        let low = core.to_lowercase().replace(['’', '‘', 'ʼ', '´', '＇'], "'");
        let (low, owns) = low.strip_suffix("'s").map_or((low.as_str(), false), |owner| (owner, true));
        let low = low.to_owned();
        let upper = core.chars().filter(|c| c.is_uppercase()).count();
        let first = core.chars().next().is_some_and(char::is_uppercase);
        let inner = upper > usize::from(first);
        // `Is A cheaper than B`.
        let label = first && low.len() == 1 && low != "i" && !fresh;
        let stop = STOP.contains(&low.as_str()) && !label;
        let name = !stop && (low.len() > 1 || label) && (first || inner) && !fresh;
        let number = number(&low);
        Self { stem: stem(&low), number, name, stop, owns: owns && !stop, ends: false, low }
    }

    /// Returns whether it does not say what is asked: `can`, `won't`.
    pub(super) fn light(&self) -> bool {
        self.stop || self.negates()
    }

    pub(super) fn negates(&self) -> bool {
        NEGATIONS.contains(&self.low.as_str()) || self.low.ends_with("n't")
    }
}

/// Gives a number the currency whose name follows it.
pub(super) fn amounts(words: &mut [Word]) {
    for at in 1..words.len() {
        let (before, after) = words.split_at_mut(at);
        let (Some(amount), Some(unit)) = (before.last_mut(), after.first()) else { continue };
        let sign = CURRENCIES.iter().find(|(name, _)| *name == unit.low).map(|(_, sign)| *sign);
        if let (Some(number), Some(sign)) = (&mut amount.number, sign)
            && number.starts_with(|c: char| c.is_ascii_digit())
        {
            number.insert(0, sign);
        }
    }
}

/// Treats `every other` as a number, since it says how often.
pub(super) fn others(words: &mut [Word]) {
    for at in 1..words.len() {
        let (before, after) = words.split_at_mut(at);
        if let (Some(every), Some(other)) = (before.last(), after.first_mut())
            && every.low == "every"
            && other.low == "other"
        {
            other.number = Some("2nd".to_owned());
        }
    }
}

/// Returns the canonical spelling of a number, amount, code, address or number word.
fn number(low: &str) -> Option<String> {
    if let Some((_, digits)) = NUMBERS.iter().find(|(name, _)| *name == low) {
        return Some((*digits).to_owned());
    }
    if low.contains('@') || low.contains("://") || low.starts_with("www.") {
        return Some(low.to_owned());
    }
    if !low.contains(|c: char| c.is_numeric()) {
        return None;
    }
    let (sign, plain) = (low.contains(['$', '€', '£']), low.replace(['$', '€', '£', '+'], ""));
    let (whole, part) = plain.split_once('.').unwrap_or((&plain, ""));
    let grouped =
        whole.split(',').skip(1).all(|part| part.len() == 3 && part.bytes().all(|b| b.is_ascii_digit()));
    let whole = if grouped { whole.replace(',', "") } else { whole.to_owned() };
    let plain = if part.bytes().all(|b| b == b'0') { whole } else { format!("{whole}.{part}") };
    // WHY: the symbol itself gives the currency; `5 dollars` against `$5` is left to a model call.
    let symbol = low.chars().find(|c| sign && matches!(c, '$' | '€' | '£'));
    Some(symbol.into_iter().collect::<String>() + &plain)
}

/// Removes common English endings. Only for comparing two words with each other.
pub(super) fn stem(low: &str) -> String {
    let cut =
        |ending: &str, least: usize| low.strip_suffix(ending).filter(|rest| rest.chars().count() >= least);
    let rest = cut("ies", 3).map(|rest| format!("{rest}y"));
    let rest =
        rest.or_else(|| cut("ing", 4).or_else(|| cut("ed", 4)).or_else(|| cut("es", 4)).map(str::to_owned));
    let rest = rest.or_else(|| cut("s", 3).filter(|rest| !rest.ends_with('s')).map(str::to_owned));
    let mut rest = rest.unwrap_or_else(|| low.to_owned());
    let mut ends = rest.chars().rev();
    if let (Some(last), Some(before)) = (ends.next(), ends.next())
        && (last == 'e' || last == before && !matches!(last, 'a' | 'e' | 'i' | 'o' | 'u' | 's'))
        && rest.chars().count() > 3
    {
        rest.pop();
    }
    rest
}
