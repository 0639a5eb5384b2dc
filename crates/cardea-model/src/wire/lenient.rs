//! Lenient parsing of answers: a field of another type than documented counts as absent.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

/// Expected type of a field, with its conversions. `Self::default()` is for everything else.
pub(super) trait Wanted<'de>: Default {
    /// Converts a text that need not be copied.
    fn text(_: &'de str) -> Self {
        Self::default()
    }

    /// Converts a text with escapes.
    fn copied(_: &str) -> Self {
        Self::default()
    }

    /// Converts a count.
    fn count(_: u64) -> Self {
        Self::default()
    }

    /// Converts a list.
    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }

    /// Converts an object.
    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

/// A field that has the expected type or counts as absent. Only text that is not JSON at all is an error.
#[derive(Debug, Default)]
pub(super) struct Lenient<T>(pub(super) T);

impl<'de, T: Wanted<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData)).map(Lenient)
    }
}

/// Parses a field that may be null: `Some` says that it was present. To be used with `default`.
pub(super) fn there<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Wanted<'de>> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Ok(u64::try_from(number).map_or_else(|_| T::default(), T::count))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Ok(T::count(number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<T, E> {
        Ok(T::text(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::copied(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::object(object)
    }
}

/// A text, or an empty one.
impl<'de: 'a, 'a> Wanted<'de> for Cow<'a, str> {
    fn text(text: &'de str) -> Self {
        Cow::Borrowed(text)
    }

    fn copied(text: &str) -> Self {
        Cow::Owned(text.to_owned())
    }
}

/// Content: a text, or all text parts of a list. Other parts (thoughts, references) are not part of the answer.
#[derive(Debug, Default)]
pub(super) struct Content<'a> {
    pub(super) text: Cow<'a, str>,
    /// Bytes of the parts that are thoughts.
    pub(super) thought: usize,
}

#[derive(Debug, Default, Deserialize)]
struct Part<'a> {
    #[serde(default, borrow)]
    r#type: Lenient<Cow<'a, str>>,
    #[serde(default, borrow)]
    text: Lenient<Cow<'a, str>>,
    #[serde(default, borrow)]
    thinking: Lenient<Content<'a>>,
}

impl<'de: 'a, 'a> Wanted<'de> for Content<'a> {
    fn text(text: &'de str) -> Self {
        Self { text: Cow::Borrowed(text), thought: 0 }
    }

    fn copied(text: &str) -> Self {
        Self { text: Cow::Owned(text.to_owned()), thought: 0 }
    }

    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let (mut all, mut thought) = (String::new(), 0_usize);
        while let Some(Lenient(Object(part))) = list.next_element::<Lenient<Object<Part<'de>>>>()? {
            let Part { r#type, text, thinking } = part.unwrap_or_default();
            match &*r#type.0 {
                "text" | "" => all.push_str(&text.0),
                "thinking" => thought = thought.saturating_add(thinking.0.text.len()),
                _ => {}
            }
        }
        Ok(Self { text: Cow::Owned(all), thought })
    }
}

/// A count; a negative or fractional one counts as absent.
impl Wanted<'_> for Option<u64> {
    fn count(count: u64) -> Self {
        Some(count)
    }
}

/// A list, whose items are parsed as leniently.
#[derive(Debug)]
pub(super) struct List<T>(pub(super) Option<Vec<T>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Wanted<'de>> Wanted<'de> for List<T> {
    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut all = Vec::new();
        while let Some(Lenient(one)) = list.next_element()? {
            all.push(one);
        }
        Ok(Self(Some(all)))
    }
}

/// An object with these fields.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) Option<T>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Wanted<'de> for Object<T> {
    fn object<A: MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        T::deserialize(MapAccessDeserializer::new(object)).map(|object| Self(Some(object)))
    }
}

/// Arguments of a call as written: JSON in a string; a few servers send the object itself.
#[derive(Debug, Default)]
pub(super) struct Arguments<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = <&RawValue>::deserialize(deserializer)?.get();
        Ok(Self(match written.as_bytes().first() {
            Some(b'"') => serde_json::from_str::<Lenient<Cow<'a, str>>>(written).unwrap_or_default().0,
            Some(b'{') => Cow::Borrowed(written),
            _ => Cow::default(),
        }))
    }
}
