//! Formats a log event as one line of JSON.

use std::fmt::{self, Write as _};

use cardea_core::time::{Clock as _, SystemClock};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

/// Size of a typical line in bytes.
const USUAL: usize = 768;

/// Writes each event as one JSON object: `timestamp`, `level`, the fields of the event, `target`. Absent fields are
/// left out. The lines go to `to`.
///
/// It writes in one pass. The subscriber's own format goes through a serializer and a writer for each letter that may
/// need an escape, which cost a request more than its policy.
pub(super) struct JsonLines<W>(W);

impl<W: Fn(&[u8])> JsonLines<W> {
    pub(super) const fn new(to: W) -> Self {
        Self(to)
    }
}

impl<S: Subscriber, W: Fn(&[u8]) + 'static> Layer<S> for JsonLines<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line { bytes: Vec::with_capacity(USUAL), text: String::new() };
        line.bytes.push(b'{');
        line.shown("timestamp", &SystemClock.now());
        line.value("level", event.metadata().level().as_str());
        event.record(&mut line);
        line.value("target", event.metadata().target());
        line.bytes.extend_from_slice(b"}\n");
        (self.0)(&line.bytes);
    }
}

/// Formats a text beside the events of the log as a line of the same shape.
pub(super) fn spoken(level: Level, text: &str) -> Vec<u8> {
    let mut line = Line { bytes: vec![b'{'], text: String::new() };
    line.shown("timestamp", &SystemClock.now());
    line.value("level", level.as_str());
    line.value("message", text);
    line.value("target", "cardea");
    line.bytes.extend_from_slice(b"}\n");
    line.bytes
}

/// A line under construction.
struct Line {
    bytes: Vec<u8>,
    /// Buffer for a value before its characters are escaped.
    text: String,
}

impl Line {
    fn value<T: serde::Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        if self.bytes.len() > 1 {
            self.bytes.push(b',');
        }
        // Numbers and texts can always be written, and writing to memory does not fail.
        drop(serde_json::to_writer(&mut self.bytes, name.strip_prefix("r#").unwrap_or(name)));
        self.bytes.push(b':');
        drop(serde_json::to_writer(&mut self.bytes, value));
    }

    fn shown(&mut self, name: &str, value: &dyn fmt::Display) {
        self.spelt(name, format_args!("{value}"));
    }

    fn spelt(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        // Writing to a string does not fail.
        let _ = text.write_fmt(value);
        self.value(name, text.as_str());
        self.text = text;
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field.name(), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field.name(), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field.name(), &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field.name(), &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.value(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.spelt(field.name(), format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn every_event_is_one_line_that_any_reader_of_json_understands() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&lines);
        let log = JsonLines::new(move |line: &[u8]| to.lock().unwrap().push(line.to_vec()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(log), || {
            let absent: Option<&str> = None;
            tracing::warn!(
                target: "cardea::test",
                who = "ann \"the\" first\nof two \u{7} ✓",
                shown = %"a\tb",
                spelt = ?Some("x"),
                r#type = "raw",
                whole = -7_i64, count = u64::MAX, share = 0.25, nothing = f64::NAN, yes = true, absent,
                "it is \"done\""
            );
        });
        let [line] = &lines.lock().unwrap()[..] else { panic!("one line") };
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let mut line: Value = serde_json::from_slice(line).unwrap();
        let at = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(at.as_str().unwrap().ends_with('Z'));
        let expected = json!({
            "level": "WARN", "message": "it is \"done\"", "who": "ann \"the\" first\nof two \u{7} ✓", "shown": "a\tb",
            "spelt": "Some(\"x\")", "type": "raw", "whole": -7, "count": u64::MAX, "share": 0.25, "nothing": null,
            "yes": true, "target": "cardea::test",
        });
        assert_eq!(line, expected);
    }
}
