//! W3C Trace Context: the trace that an operation belongs to, and the span that started it.

use std::fmt;

use crate::{
    canonical::Digits,
    id::{RequestId, random_bits},
};

/// Context that is passed along with an outbound call, and appears in each log line about it.
#[derive(Debug, Clone, Copy)]
pub struct Along<'a> {
    /// The span from which the call is made.
    pub here: TraceContext,
    /// Trace state of the upstream systems.
    pub state: Option<&'a TraceState>,
    /// The request that the call is made for.
    pub request: RequestId,
}

impl Along<'_> {
    /// Returns a copy without what belongs to the request, for work that outlives the call.
    #[must_use]
    pub fn alone(self) -> Along<'static> {
        Along { here: self.here, state: None, request: self.request }
    }

    /// Returns the W3C Trace Context headers for the call.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let state = self.state.map(|state| ("tracestate", state.0.to_string()));
        [("traceparent", self.here.to_string())].into_iter().chain(state)
    }
}

/// Trace state of the upstream systems (`tracestate`): passed on unchanged, and to no other destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceState(Box<str>);

impl TraceState {
    /// Limits of characters and of members that are passed on, from the standard.
    const MOST: (usize, usize) = (512, 32);

    /// Parses a `tracestate` header; `None` if it is longer, or deviates from the standard.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (letters, most) = Self::MOST;
        let text = text.trim_matches([' ', '\t']);
        let mut members =
            text.split(',').map(|one| one.trim_matches([' ', '\t'])).filter(|one| !one.is_empty());
        let (mut count, whole) = (0, text.len() <= letters);
        let sound = whole
            && members.all(|one| {
                count += 1;
                is_member(one)
            });
        (sound && (1..=most).contains(&count)).then(|| Self(text.into()))
    }
}

/// Returns whether the text is `key=value` in the allowed characters.
fn is_member(one: &str) -> bool {
    let Some((key, value)) = one.split_once('=') else { return false };
    let own = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let named = |byte: u8| own(byte) || b"_-*/@".contains(&byte);
    let (first, any) = (key.bytes().next().is_some_and(own), key.bytes().all(named));
    let shown = |byte: u8| matches!(byte, 0x20..=0x7e) && !b",=".contains(&byte);
    first && any && key.len() <= 256 && (1..=256).contains(&value.len()) && value.bytes().all(shown)
}

/// A position in a trace: the content of `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// Returns the bits of a new span; never zero, which means "none".
fn new_span() -> u64 {
    let bits = random_bits();
    // Either half is as random as the other.
    u64::try_from(bits >> 64).unwrap_or(1).max(1)
}

impl TraceContext {
    /// Starts a new trace.
    #[must_use]
    pub fn fresh() -> Self {
        Self { trace: random_bits().max(1), span: new_span(), sampled: true }
    }

    /// Parses a `traceparent` header; `None` if it deviates from the standard.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |part: &str, letters: usize| {
            let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            part.len() == letters && part.bytes().all(lower)
        };
        let whole = hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
        // A later version may have more parts, the first one may not; `ff` is invalid.
        if !whole || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let (trace, span) = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        (trace != 0 && span != 0).then_some(Self { trace, span, sampled })
    }

    /// Returns a new span of the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span: new_span(), ..*self }
    }

    /// Returns the trace id, as 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        Digits::<32>::of(self.trace).as_str().to_owned()
    }

    /// Returns the span id, as 16 hexadecimal digits.
    #[must_use]
    pub fn span_id(&self) -> String {
        Digits::<16>::of(u128::from(self.span)).as_str().to_owned()
    }
}

impl fmt::Display for TraceContext {
    /// Formats as in the `traceparent` header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (Digits::<32>::of(self.trace), Digits::<16>::of(u128::from(self.span)));
        let sampled = if self.sampled { "01" } else { "00" };
        for part in ["00-", trace.as_str(), "-", span.as_str(), "-", sampled] {
            f.write_str(part)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_as_the_standard_says_and_a_child_stays_in_its_trace() {
        let context = TraceContext::parse(EXAMPLE).unwrap();
        assert_eq!(context.to_string(), EXAMPLE);
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let child = context.child();
        assert_eq!(child.trace_id(), context.trace_id());
        assert_ne!(child.span_id(), context.span_id());
        let later = TraceContext::parse(&format!("{}-more", EXAMPLE.replacen("00", "01", 1))).unwrap();
        assert_eq!(later, context);
        for bad in [
            "",
            "00",
            &EXAMPLE.to_uppercase(),
            &EXAMPLE.replacen("00", "ff", 1),
            &format!("{EXAMPLE}-more"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_state_is_handed_on_as_it_came_or_not_at_all() {
        for good in ["vend=abc123", "a=1,b@c/d=x y", " rojo=00f067aa0ba902b7 ,, congo=t61rcWkgMzE\t"] {
            let state = TraceState::parse(good).unwrap();
            let along =
                Along { here: TraceContext::fresh(), state: Some(&state), request: RequestId::random() };
            let headers: Vec<(&str, String)> = along.headers().collect();
            assert_eq!(headers[1], ("tracestate", good.trim_matches([' ', '\t']).to_owned()));
            assert_eq!(along.alone().headers().count(), 1);
        }
        let (many, long) = (vec!["a=1"; 33].join(","), format!("a={}", "1".repeat(256)));
        for bad in [
            "",
            ",",
            "a",
            "a=",
            "=1",
            "A=1",
            "a=1=2",
            "a=\u{1}",
            "a=\u{e9}",
            "-a=1",
            &many,
            &format!("{long},b{long}"),
        ] {
            assert_eq!(TraceState::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_read_or_refused_and_what_is_written_reads_back(text in "\\PC{0,80}") {
            if let Some(context) = TraceContext::parse(&text) {
                prop_assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
            }
            let fresh = TraceContext::fresh();
            prop_assert_eq!(TraceContext::parse(&fresh.to_string()), Some(fresh));
        }
    }
}
