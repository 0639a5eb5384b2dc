//! Finds mentions in a message: ids, numbers, money, dates, addresses and quoted words, each with its position.

use cardea_core::time::{Millis, Timestamp};
use regex::{Captures, Regex};

use super::{
    mention::{End, Kind, Mention},
    money,
};

/// Finds mentions. Holds the compiled patterns.
#[derive(Debug)]
pub(super) struct Finder {
    patterns: Vec<(Regex, Maker)>,
}

type Maker = fn(&Captures<'_>, Timestamp) -> Option<Kind>;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

const UNITS: [(&str, &str); 8] = [
    ("minute", "minute"),
    ("min", "minute"),
    ("hour", "hour"),
    ("day", "day"),
    ("week", "week"),
    ("month", "month"),
    ("quarter", "quarter"),
    ("year", "year"),
];

impl Finder {
    /// # Errors
    /// Never for the patterns below; a test makes one.
    pub(super) fn new() -> Result<Self, regex::Error> {
        let month = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\\.?";
        let digits = r"\d+(?:[.,]\d+)*";
        let sum = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?";
        let table: [(String, Maker); 15] = [
            (r#""([^"]{1,400})"|“([^”]{1,400})”|«([^»]{1,400})»|(?:^|[\s(:])'([^']{2,400})'(?:$|[\s).,;:!?])"#.into(), quoted),
            (r"[A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+".into(), |_, _| Some(Kind::Email)),
            (r"\b(\d{4})-(\d{2})-(\d{2})\b".into(), iso_date),
            (format!(r"(?i)\b(\d{{1,2}})(?:st|nd|rd|th)?\.? (?:of )?{month}(?:,? (\d{{4}}))?\b"), |found, now| named_date(found, 1, 2, now)),
            (format!(r"(?i)\b{month} (\d{{1,2}})(?:st|nd|rd|th)?(?:,? (\d{{4}}))?\b"), |found, now| named_date(found, 2, 1, now)),
            (r"(?i)\b(today|yesterday|tomorrow|(\d{1,4}) days? ago)\b".into(), relative_date),
            (r"(?i)\b(this|last|past|previous|current) (week|month|quarter|year)\b".into(), |_, _| None),
            (format!(r"(?:[-−]\s?)?[$€£]\s?[-−]?({digits})"), money),
            (format!(r"(?i)(?:[-−]\s?|\bminus )?\b({digits})\s?(?:dollars?|bucks?|euros?|usd|eur|gbp|pounds?|chf|francs?|cents?|ct|[€£$¢])(?:\b|$|\s)"), money),
            (r"\+\d[\d ()/-]{6,}\d|\b0\d{2,4}[ /-][\d -]{4,}\d|\(\d{3}\) ?\d{3}-\d{4}|\b\d{3}-\d{3,4}-\d{4}\b|\b\d{3}-\d{4}\b".into(), |_, _| Some(Kind::Phone)),
            (format!(r"(?i)({sum})\s?(?:%|percent\b)"), percent),
            (r"(?i)\b(\d{1,5})[ -]?(minute|min|hour|day|week|month|quarter|year)s?\b".into(), span),
            (r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b".into(), |_, _| Some(Kind::Code)),
            (r"#?\b(?:[A-Za-z]+[A-Za-z0-9]*[-_/])*[A-Za-z]*\d+[A-Za-z0-9]*(?:[-_][A-Za-z0-9]+)*\b|\b[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+\b".into(), code),
            (format!(r"(?:#\s?|\b)({digits})\b"), number),
        ];
        let patterns = table.into_iter().map(|(text, make)| Regex::new(&text).map(|pattern| (pattern, make)));
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()? })
    }

    /// Returns all mentions, in the order of the text. Where two patterns match, the earlier one in the table counts.
    pub(super) fn mentions(&self, text: &str, now: Timestamp) -> Vec<Mention> {
        let mut found: Vec<Mention> = Vec::new();
        for (pattern, make) in &self.patterns {
            for captures in pattern.captures_iter(text) {
                let Some(whole) = captures.get(0) else { continue };
                found.extend(bounds(&captures, now));
                let free = found.iter().all(|other| whole.end() <= other.start || whole.start() >= other.end);
                if let (true, Some(kind)) = (free, make(&captures, now)) {
                    found.push(Mention {
                        start: whole.start(),
                        end: whole.end(),
                        text: whole.as_str().trim().to_owned(),
                        kind,
                    });
                }
            }
        }
        found.sort_by_key(|mention| mention.start);
        found
    }
}

/// Splits `last month` into two days: the first on its first word, the last on its second.
fn bounds(found: &Captures<'_>, now: Timestamp) -> Vec<Mention> {
    let (Some(which), Some(unit)) = (found.get(1), found.get(2)) else { return Vec::new() };
    let earlier = match which.as_str().to_lowercase().as_str() {
        "last" | "past" | "previous" => 1,
        "this" | "current" => 0,
        _ => return Vec::new(),
    };
    let Some((first, last)) = days_of(&unit.as_str().to_lowercase(), earlier, now) else { return Vec::new() };
    [(which, first, End::First), (unit, last, End::Last)]
        .into_iter()
        .map(|(at, day, end)| Mention {
            start: at.start(),
            end: at.end(),
            text: at.as_str().to_owned(),
            kind: Kind::Bound(day, end),
        })
        .collect()
}

/// Returns the first and the last day of this week, month, quarter or year, or of the preceding one.
fn days_of(unit: &str, earlier: i64, now: Timestamp) -> Option<(String, String)> {
    const DAY: i64 = 86_400_000;
    let show = |days: i64| Timestamp(days.saturating_mul(DAY)).to_string().get(..10).map(str::to_owned);
    let today = now.0.div_euclid(DAY);
    if unit == "week" {
        // The first of January 1970 was a Thursday; weeks begin on Monday.
        let monday = today - (today + 3).rem_euclid(7) - 7 * earlier;
        return Some((show(monday)?, show(monday + 6)?));
    }
    let text = now.to_string();
    let (year, month): (i64, i64) = (text.get(..4)?.parse().ok()?, text.get(5..7)?.parse().ok()?);
    let months = match unit {
        "month" => 1,
        "quarter" => 3,
        "year" => 12,
        _ => return None,
    };
    let start = (year * 12 + month - 1).div_euclid(months) * months - months * earlier;
    let end = start + months - 1;
    let last = (28..=31).rev().find_map(|number| {
        match day(end.div_euclid(12), end.rem_euclid(12) + 1, number)? {
            Kind::Date(day) => Some(day),
            _ => None,
        }
    })?;
    Some((format!("{:04}-{:02}-01", start.div_euclid(12), start.rem_euclid(12) + 1), last))
}

fn group<'t>(found: &Captures<'t>, place: usize) -> &'t str {
    found.get(place).map_or("", |group| group.as_str())
}

fn quoted(found: &Captures<'_>, _: Timestamp) -> Option<Kind> {
    let text = found.iter().skip(1).flatten().next()?.as_str().trim();
    (!text.is_empty()).then(|| Kind::Quoted(text.to_owned()))
}

fn money(found: &Captures<'_>, _: Timestamp) -> Option<Kind> {
    let whole = group(found, 0).to_lowercase();
    let negative = whole.starts_with("minus") || whole.contains(['-', '−']);
    let cents = whole.contains("cent") || whole.contains("ct") || whole.contains('¢');
    let amount = money::sum(group(found, 1)).filter(|_| !negative);
    let amount = amount.map(|amount| if cents { amount / 100.0 } else { amount });
    Some(Kind::Money { amount, currency: money::currencies(&whole).first().copied() })
}

fn percent(found: &Captures<'_>, _: Timestamp) -> Option<Kind> {
    group(found, 1).replace(',', "").parse().ok().map(Kind::Percent)
}

fn span(found: &Captures<'_>, _: Timestamp) -> Option<Kind> {
    let unit = group(found, 2).to_lowercase();
    let unit = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    group(found, 1).parse().ok().map(|number| Kind::Span(number, unit))
}

/// Matches a code, which has a letter or a joint; a bare number is a number.
fn code(found: &Captures<'_>, _: Timestamp) -> Option<Kind> {
    let text = group(found, 0).trim_start_matches('#');
    let ordinal = ["st", "nd", "rd", "th"]
        .iter()
        .any(|end| text.strip_suffix(end).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit())));
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    (!plain && !ordinal).then_some(Kind::Code)
}

fn number(found: &Captures<'_>, _: Timestamp) -> Option<Kind> {
    let marked = group(found, 0).starts_with('#');
    let value = money::sum(group(found, 1)).or_else(|| group(found, 1).parse().ok());
    value.map(|value| Kind::Number { value, marked })
}

fn day(year: i64, month: i64, day: i64) -> Option<Kind> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=length).contains(&day).then(|| Kind::Date(format!("{year:04}-{month:02}-{day:02}")))
}

fn iso_date(found: &Captures<'_>, _: Timestamp) -> Option<Kind> {
    day(group(found, 1).parse().ok()?, group(found, 2).parse().ok()?, group(found, 3).parse().ok()?)
}

fn named_date(found: &Captures<'_>, at: usize, month_at: usize, now: Timestamp) -> Option<Kind> {
    let name: String = group(found, month_at).to_lowercase().chars().take(3).collect();
    let month = MONTHS.iter().position(|month| *month == name)?;
    let this_year = now.to_string().get(..4)?.parse().ok()?;
    let year = group(found, 3).parse().unwrap_or(this_year);
    day(year, i64::try_from(month).ok()? + 1, group(found, at).parse().ok()?)
}

fn relative_date(found: &Captures<'_>, now: Timestamp) -> Option<Kind> {
    let days = |count: u64| Millis::from_secs(count.saturating_mul(86_400));
    let at = match group(found, 1).to_lowercase().as_str() {
        "today" => now,
        "yesterday" => now.minus(days(1)),
        "tomorrow" => now.plus(days(1)),
        _ => now.minus(days(group(found, 2).parse().ok()?)),
    };
    at.to_string().get(..10).map(|day| Kind::Date(day.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn kinds(text: &str) -> Vec<Kind> {
        Finder::new().unwrap().mentions(text, NOW).into_iter().map(|mention| mention.kind).collect()
    }

    fn number(value: f64) -> Kind {
        Kind::Number { value, marked: false }
    }

    #[test]
    fn what_people_write_is_found_for_what_it_is() {
        let date = |text: &str| Kind::Date(text.into());
        let money = |amount, currency| Kind::Money { amount: Some(amount), currency: Some(currency) };
        let table: Vec<(&str, Vec<Kind>)> = vec![
            ("order 17", vec![number(17.0)]),
            ("Where is #17?", vec![Kind::Number { value: 17.0, marked: true }]),
            ("ORD-1042 and cus_9f2 and SAVE10", vec![Kind::Code, Kind::Code, Kind::Code]),
            ("turn off new_checkout", vec![Kind::Code]),
            ("refund $1,250.50 or 25 dollars", vec![money(1250.5, "usd"), money(25.0, "usd")]),
            ("€9 for order 3", vec![money(9.0, "eur"), number(3.0)]),
            ("10% off", vec![Kind::Percent(10.0)]),
            ("the last 30 days", vec![Kind::Span(30, "day")]),
            ("since 2026-02-28, not 2026-02-30", vec![date("2026-02-28"), Kind::Phone]),
            ("on March 3rd and 4 May 2025", vec![date("2026-03-03"), date("2025-05-04")]),
            (
                "last month",
                vec![
                    Kind::Bound("2026-10-01".into(), End::First),
                    Kind::Bound("2026-10-31".into(), End::Last),
                ],
            ),
            (
                "this quarter",
                vec![
                    Kind::Bound("2026-10-01".into(), End::First),
                    Kind::Bound("2026-12-31".into(), End::Last),
                ],
            ),
            (
                "last week",
                vec![
                    Kind::Bound("2026-11-09".into(), End::First),
                    Kind::Bound("2026-11-15".into(), End::Last),
                ],
            ),
            (
                "past year",
                vec![
                    Kind::Bound("2025-01-01".into(), End::First),
                    Kind::Bound("2025-12-31".into(), End::Last),
                ],
            ),
            ("yesterday or 3 days ago", vec![date("2026-11-17"), date("2026-11-15")]),
            ("jane.doe+x@corp.example wrote", vec![Kind::Email]),
            ("call +49 151 2345678", vec![Kind::Phone]),
            ("say \"we are on it\" please", vec![Kind::Quoted("we are on it".into())]),
            ("it's the client's 2nd call", vec![]),
            ("nothing here", vec![]),
        ];
        for (text, expected) in table {
            let got = kinds(text);
            // An impossible day may be read as something else, but never as a day.
            if text.contains("02-30") {
                assert_eq!(got.iter().filter(|kind| matches!(kind, Kind::Date(_))).count(), 1, "{text}");
            } else {
                assert_eq!(got, expected, "{text}");
            }
        }
    }

    thread_local! {
        static FINDER: Finder = Finder::new().unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn mentions_never_overlap_and_lie_inside_the_text(text in "[a-zA-Z0-9#$%€\"' @.,_-]{0,60}") {
            let mut end = 0;
            for mention in FINDER.with(|finder| finder.mentions(&text, NOW)) {
                prop_assert!(mention.start >= end && mention.end > mention.start && mention.end <= text.len());
                prop_assert!(text.get(mention.start..mention.end).is_some());
                end = mention.end;
            }
        }
    }
}
