//! Sums of money and their currencies, read only if there is one way to read them.

/// Parses a number as people write it, if it can be read in only one way: `1,250.50`, `1.250,50`, `12,50`. `1.000` may
/// be one or a thousand.
pub(super) fn sum(text: &str) -> Option<f64> {
    let parts: Vec<&str> = text.split(['.', ',']).collect();
    let marks: Vec<char> = text.chars().filter(|c| matches!(c, '.' | ',')).collect();
    let (last, head) = parts.split_last()?;
    let decimal = |head: &[&str]| format!("{}.{last}", head.concat()).parse().ok();
    let (end, others) = match marks.split_last() {
        None => return text.parse().ok(),
        Some((end, others)) => (*end, others),
    };
    let same = others.iter().all(|mark| *mark == end);
    let cents = (1..=2).contains(&last.len());
    match others {
        [] if cents => decimal(head),
        [] if end == ',' && in_thousands(&parts) => parts.concat().parse().ok(),
        [_, ..] if same && in_thousands(&parts) => parts.concat().parse().ok(),
        [first, rest @ ..]
            if !same && rest.iter().all(|mark| mark == first) && cents && in_thousands(head) =>
        {
            decimal(head)
        }
        _ => None,
    }
}

fn in_thousands(parts: &[&str]) -> bool {
    let Some((first, rest)) = parts.split_first() else { return false };
    (1..=3).contains(&first.len()) && !first.starts_with('0') && rest.iter().all(|part| part.len() == 3)
}

/// Returns the currencies that a text names.
pub(super) fn currencies(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    let word = |wanted: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| word == wanted);
    let all: [(&str, &[&str], &str); 4] = [
        ("eur", &["eur", "euro", "euros"], "€"),
        ("usd", &["usd", "dollar", "dollars", "bucks", "buck"], "$"),
        ("gbp", &["gbp", "pound", "pounds"], "£"),
        ("chf", &["chf", "franc", "francs"], "₣"),
    ];
    let named =
        all.into_iter().filter(|(_, words, sign)| text.contains(sign) || words.iter().any(|name| word(name)));
    named.map(|(code, _, _)| code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_can_be_read_in_two_ways_is_not_read() {
        for (text, value) in [
            ("5", 5.0),
            ("12.5", 12.5),
            ("12,50", 12.5),
            ("1,000", 1000.0),
            ("1,250.50", 1250.5),
            ("1.250,50", 1250.5),
            ("1.000.000", 1_000_000.0),
            ("1,000,000.5", 1_000_000.5),
        ] {
            assert_eq!(sum(text), Some(value), "{text}");
        }
        for text in [
            "1.000",
            "0.001",
            "0,001",
            "1,50,0",
            "1.2.3",
            "1,000.000",
            "12,345.6789",
            "1000,000.50",
            "10.000,5.5",
        ] {
            assert_eq!(sum(text), None, "{text}");
        }
    }

    #[test]
    fn currencies_are_words_or_signs() {
        assert_eq!(currencies("How much to pay back, in euros: 25 or 12.50."), ["eur"]);
        assert_eq!(currencies("in USD or £"), ["usd", "gbp"]);
        assert!(currencies("Amount in the order's currency, as European shops have it.").is_empty());
    }
}
