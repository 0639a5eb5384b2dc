//! Finds arguments for a tool in the conversation.
//!
//! Every pair of an argument and a mention gets a score, and the best pairs are taken first, each mention once. A
//! mention that names its kind (`customer 42`) never goes to an argument of another kind. Free text is extracted last,
//! from what is left.

use serde_json::{Map, Number, Value};

use super::{
    amount, choice, free,
    mention::{End, Kind, Mention},
    money,
    said::{Nouns, Said},
    schema::{Id, Property, Role, Want},
    words::stem,
};

/// The arguments found for a tool.
#[derive(Debug, Clone, Default)]
pub(super) struct Filled {
    pub(super) arguments: Map<String, Value>,
    /// Required arguments for which nothing was found.
    pub(super) missing: Vec<Property>,
    /// How well the mentions fit the tool: each id that names its kind counts one.
    pub(super) fit: f64,
}

/// Finds arguments for these properties.
pub(super) fn fill(properties: &[Property], said: &Said<'_>, nouns: &Nouns) -> Filled {
    let mut used = vec![false; said.mentions.len()];
    let mut filled = Filled::default();
    mentioned(properties, said, nouns, &mut used, &mut filled);
    for property in properties {
        if filled.arguments.contains_key(&property.name) {
            continue;
        }
        if let Some(value) = other(property, said, nouns, &mut used) {
            // A named state or priority counts for a tool that has it.
            filled.fit += if matches!(property.want, Want::Choice(_)) { 0.5 } else { 0.0 };
            filled.arguments.insert(property.name.clone(), value);
        }
    }
    joined(properties, said, &mut filled);
    free_words(properties, said, nouns, &used, &mut filled);
    let missing = properties
        .iter()
        .filter(|property| property.required && !filled.arguments.contains_key(&property.name));
    filled.missing = missing.cloned().collect();
    filled
}

/// Assigns words joined by slashes (`rust-lang/cargo`) to as many required arguments, in the order of the schema.
fn joined(properties: &[Property], said: &Said<'_>, filled: &mut Filled) {
    let free = |property: &&Property| {
        property.required
            && matches!(property.want, Want::Free(_))
            && !filled.arguments.contains_key(&property.name)
    };
    let wanted: Vec<&Property> = properties.iter().filter(free).collect();
    if wanted.len() < 2 {
        return;
    }
    let is_part = |part: &str| {
        part.bytes().any(|b| b.is_ascii_alphabetic())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let words = said.text.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    let parts = words.map(|word| word.split('/').collect::<Vec<&str>>());
    let fitting = parts.into_iter().find(|parts| {
        parts.len() == wanted.len() && parts.iter().all(|part| is_part(part)) && *parts != ["and", "or"]
    });
    for (property, part) in wanted.iter().zip(fitting.into_iter().flatten()) {
        filled.fit += 0.6;
        filled.arguments.insert(property.name.clone(), part.into());
    }
}

/// Assigns free text: first to arguments that the message names, then to those that it fits.
fn free_words(properties: &[Property], said: &Said<'_>, nouns: &Nouns, used: &[bool], filled: &mut Filled) {
    for property in properties.iter().filter(|property| matches!(property.want, Want::Free(_))) {
        if let (false, Some(text)) =
            (filled.arguments.contains_key(&property.name), free::named(property, said, nouns))
        {
            filled.arguments.insert(property.name.clone(), text.into());
        }
    }
    for property in properties {
        let Want::Free(role) = property.want else { continue };
        if filled.arguments.contains_key(&property.name) {
            continue;
        }
        let Some(text) = free::words_for(property, role, said, nouns, used) else { continue };
        let long = matches!(role, Role::Note | Role::Subject | Role::Reason);
        // A name goes to one argument; a text may be both the subject and the description of one thing.
        let taken = !long
            && filled
                .arguments
                .values()
                .any(|value| value.as_str().is_some_and(|value| value.eq_ignore_ascii_case(&text)));
        if taken {
            continue;
        }
        let names = property.required && matches!(role, Role::Search | Role::Person | Role::Place);
        filled.fit += if names && said.proper_names(nouns).contains(&text.as_str()) { 0.6 } else { 0.0 };
        filled.arguments.insert(property.name.clone(), text.into());
    }
}

/// Assigns mentions to properties, best pairs first.
fn mentioned(
    properties: &[Property],
    said: &Said<'_>,
    nouns: &Nouns,
    used: &mut [bool],
    filled: &mut Filled,
) {
    let mut pairs: Vec<(f64, usize, usize, Value)> = Vec::new();
    for (p, property) in properties.iter().enumerate() {
        for (m, mention) in said.mentions.iter().enumerate() {
            if let Some((score, value)) = pair(property, mention, said, nouns) {
                pairs.push((score + if property.required { 0.5 } else { 0.0 }, p, m, value));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    for (score, p, m, value) in pairs {
        let (Some(property), Some(taken)) = (properties.get(p), used.get_mut(m)) else { continue };
        // An optional argument needs more than a stray number.
        let enough = property.required || score >= 2.0;
        if *taken || !enough || filled.arguments.contains_key(&property.name) {
            continue;
        }
        *taken = true;
        if score >= 3.5 {
            filled.fit += 1.0;
        } else if score >= 1.0 {
            filled.fit += 0.4;
        }
        filled.arguments.insert(property.name.clone(), value);
    }
}

/// Returns how well a mention fits a property, and the value that it would give.
fn pair(property: &Property, mention: &Mention, said: &Said<'_>, nouns: &Nouns) -> Option<(f64, Value)> {
    match (&property.want, &mention.kind) {
        (Want::Id(id), _) => id_pair(id, mention, said, nouns),
        (Want::Amount { cents, whole }, Kind::Money { amount, currency }) => {
            let takes = money::currencies(&format!("{} {}", property.about, property.words.join(" ")));
            let known = currency.is_none_or(|own| takes.is_empty() || takes.contains(&own));
            let amount = amount.filter(|_| known && amount::is_plain(mention, said, nouns))?;
            Some((3.0, money(amount, *cents, *whole)?))
        }
        (Want::Amount { cents, whole }, Kind::Number { marked: false, .. }) => {
            let value = money::sum(&mention.text).filter(|_| amount::is_plain(mention, said, nouns))?;
            let of_something = said.noun_of(mention, nouns).is_some() || said.counts_rows(mention, nouns);
            let asked = said.word_before(mention.start).is_some_and(|word| {
                matches!(stem(&word).as_str(), "of" | "refund" | "by" | "amount" | "to" | "credit" | "back")
            });
            if of_something {
                None
            } else {
                Some((if asked { 2.2 } else { 1.0 }, money(value, *cents, *whole)?))
            }
        }
        (Want::Limit, Kind::Number { value, .. }) => {
            if said.counts_rows(mention, nouns) {
                Some((3.0, whole_number(*value)?))
            } else {
                None
            }
        }
        (Want::Span(unit), Kind::Span(count, of)) => Some((3.0, converted(*count, of, unit)?)),
        (Want::Percent { whole }, Kind::Percent(value)) => Some((3.0, plain_number(*value, *whole)?)),
        (Want::Number { whole }, Kind::Number { value, .. }) => {
            let named = said.word_before(mention.start).is_some_and(|word| property.words.contains(&word));
            let of_something = said.noun_of(mention, nouns).is_some();
            if of_something && !named {
                return None;
            }
            Some((if named { 3.0 } else { 0.8 }, plain_number(*value, *whole)?))
        }
        (Want::Email, Kind::Email) | (Want::Phone, Kind::Phone) => Some((3.0, mention.text.clone().into())),
        (Want::Date { with_time }, Kind::Bound(day, end)) => {
            let (starts, ends) = edges(property);
            (starts && *end == End::First || ends && *end == End::Last).then(|| (3.0, date(day, *with_time)))
        }
        (Want::Date { with_time }, Kind::Date(day)) => {
            Some((date_score(property, mention, said), date(day, *with_time)))
        }
        (Want::Code, Kind::Code) => {
            let named = said.word_before(mention.start).is_some_and(|word| {
                matches!(word.as_str(), "code" | "promo" | "coupon" | "voucher" | "discount")
                    || property.words.contains(&word)
            });
            if !named && said.noun_of(mention, nouns).is_some() {
                return None;
            }
            Some((if named { 4.0 } else { 2.0 }, mention.text.clone().into()))
        }
        (Want::Code, Kind::Quoted(text)) => Some((1.5, text.clone().into())),
        (Want::Free(Role::Search), Kind::Email | Kind::Phone) => Some((2.5, mention.text.clone().into())),
        (Want::Free(Role::Flag), Kind::Code) => {
            if said.noun_of(mention, nouns).is_some() {
                None
            } else {
                Some((2.5, mention.text.clone().into()))
            }
        }
        (Want::Free(Role::Person), Kind::Email) => Some((2.0, mention.text.clone().into())),
        (
            Want::Free(
                Role::Note
                | Role::Subject
                | Role::Reason
                | Role::Search
                | Role::Flag
                | Role::Place
                | Role::Other,
            ),
            Kind::Quoted(text),
        ) => Some((2.5, text.clone().into())),
        (Want::Free(Role::Period), Kind::Span(count, unit)) => Some((2.5, format!("{count} {unit}s").into())),
        _ => None,
    }
}

fn id_pair(id: &Id, mention: &Mention, said: &Said<'_>, nouns: &Nouns) -> Option<(f64, Value)> {
    let (base, digits) = match &mention.kind {
        Kind::Number { value, marked } if value.fract() == 0.0 && !mention.text.contains(',') => {
            (if *marked { 1.5 } else { 1.0 }, true)
        }
        Kind::Code => (1.2, false),
        _ => return None,
    };
    if digits && said.counts_rows(mention, nouns) {
        return None;
    }
    let value = id_value(id, &mention.text)?;
    let shaped = id
        .prefix
        .as_ref()
        .is_some_and(|prefix| mention.text.to_uppercase().starts_with(&prefix.to_uppercase()));
    let named = said.noun_of(mention, nouns);
    let score = match (named, &id.noun) {
        (Some(named), Some(noun)) if nouns.known(noun) == Some(named.as_str()) => base + 3.0,
        // It names another kind.
        (Some(_), _) if !shaped => return None,
        // A joined word without the form of an id: a switch, a voucher.
        (None, _)
            if !digits
                && !shaped
                && (id.prefix.is_some() || !mention.text.bytes().any(|b| b.is_ascii_digit())) =>
        {
            return None;
        }
        _ if shaped => base + 2.5,
        (None, Some(noun)) if said.has_stem(noun) => base + 0.5,
        _ => base,
    };
    Some((score, value))
}

/// Returns the id in the form of the schema: `order 17` is `ORD-17` if ids have that form, and `17` if they are
/// numbers.
pub(super) fn id_value(id: &Id, text: &str) -> Option<Value> {
    let text = text.trim().trim_start_matches('#').trim();
    if id.number {
        let digits = text.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        return digits.parse::<u64>().ok().map(Value::from);
    }
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    let candidates = match &id.prefix {
        Some(prefix) if plain => vec![format!("{prefix}{text}"), text.to_owned()],
        Some(_) => vec![text.to_uppercase(), text.to_owned(), text.to_lowercase()],
        None => vec![text.to_owned()],
    };
    let fits = |text: &String| id.pattern.as_ref().is_none_or(|pattern| pattern.is_match(text));
    candidates.into_iter().find(fits).map(Value::from)
}

fn whole_number(value: f64) -> Option<Value> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just before")]
    (value.fract() == 0.0 && (0.0..9e15).contains(&value)).then(|| Value::from(value as u64))
}

fn plain_number(value: f64, whole: bool) -> Option<Value> {
    match whole_number(value) {
        Some(number) => Some(number),
        None if whole => None,
        None => Number::from_f64(value).map(Value::Number),
    }
}

fn money(amount: f64, cents: bool, whole: bool) -> Option<Value> {
    plain_number(if cents { (amount * 100.0).round() } else { amount }, whole)
}

fn converted(count: u64, from: &str, to: &str) -> Option<Value> {
    let minutes = |unit: &str| match unit {
        "minute" => 1,
        "hour" => 60,
        "day" => 1_440,
        "week" => 10_080,
        "month" => 43_200,
        "quarter" => 129_600,
        _ => 525_600,
    };
    if from == to {
        return Some(count.into());
    }
    let total = count.checked_mul(minutes(from))?;
    Some(total.div_ceil(minutes(to)).max(1).into())
}

fn date(day: &str, with_time: bool) -> Value {
    if with_time { format!("{day}T00:00:00Z").into() } else { day.into() }
}

/// Returns whether a date argument begins or ends a period.
fn edges(property: &Property) -> (bool, bool) {
    let of = |any: &[&str]| property.words.iter().any(|word| any.contains(&word.as_str()));
    (of(&["since", "from", "start", "after", "begin"]), of(&["until", "to", "end", "before", "till"]))
}

fn date_score(property: &Property, mention: &Mention, said: &Said<'_>) -> f64 {
    let (starts, ends) = edges(property);
    match said.word_before(mention.start).as_deref() {
        Some("since" | "from" | "after" | "starting") if starts => 3.5,
        Some("until" | "to" | "before" | "till" | "and") if ends => 3.5,
        Some("since" | "from" | "after" | "starting") if ends => 1.0,
        Some("until" | "to" | "before" | "till") if starts => 1.0,
        _ => 2.5,
    }
}

/// Finds values in words rather than in mentions.
fn other(property: &Property, said: &Said<'_>, nouns: &Nouns, used: &mut [bool]) -> Option<Value> {
    match &property.want {
        Want::Choice(values) => choice::of(values, property, said),
        Want::Truth => choice::truth(property, said),
        Want::Code => free::shouted(said),
        Want::Fields(properties) => {
            let inner = fill_into(properties, said, nouns, used);
            (!inner.arguments.is_empty() && inner.missing.is_empty()).then(|| Value::Object(inner.arguments))
        }
        Want::List(item) => {
            let found: Vec<Value> = match &item.want {
                Want::Choice(values) => values
                    .iter()
                    .filter(|value| choice::of(&[(*value).clone()], item, said).is_some())
                    .cloned()
                    .collect(),
                Want::Free(role) => {
                    free::words_for(item, *role, said, nouns, used).into_iter().map(Value::from).collect()
                }
                _ => said
                    .mentions
                    .iter()
                    .filter_map(|mention| Some(pair(item, mention, said, nouns)?.1))
                    .collect(),
            };
            (!found.is_empty()).then(|| found.into())
        }
        _ => None,
    }
}

/// Works like [`fill`], with the mentions that are left.
fn fill_into(properties: &[Property], said: &Said<'_>, nouns: &Nouns, used: &mut [bool]) -> Filled {
    let mut filled = Filled::default();
    let mut taken = used.to_vec();
    mentioned(properties, said, nouns, &mut taken, &mut filled);
    used.copy_from_slice(&taken);
    for property in
        properties.iter().filter(|property| matches!(property.want, Want::Choice(_) | Want::Truth))
    {
        if let Some(value) = other(property, said, nouns, used) {
            filled.arguments.insert(property.name.clone(), value);
        }
    }
    for property in properties.iter().filter(|property| matches!(property.want, Want::Free(_))) {
        if let Some(value) = free::named(property, said, nouns) {
            filled.arguments.entry(property.name.clone()).or_insert_with(|| value.into());
        }
    }
    let missing = properties
        .iter()
        .filter(|property| property.required && !filled.arguments.contains_key(&property.name));
    filled.missing = missing.cloned().collect();
    filled
}
