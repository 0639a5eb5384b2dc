//! Server-sent events, decoded incrementally (WHATWG HTML, section 9.2.6).
//!
//! [`Decoder`] takes bytes as they arrive, cut anywhere, and returns whole events. It never holds more than its limit,
//! and reports bytes that are not text instead of guessing. It does not reconnect: a model's answer that was cut is an
//! error, not something to request again.

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// The `event:` field; empty for the default kind.
    pub kind: String,
    /// The `data:` lines, joined by line feeds.
    pub data: String,
    /// The `id:` field of this event, if it had one.
    pub id: Option<String>,
}

/// Error for bytes that are not an event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadStream {
    /// One event is larger than the limit.
    #[error("an event is larger than {0} bytes")]
    TooLarge(usize),
    /// A line is not UTF-8.
    #[error("a line is not UTF-8")]
    NotText,
}

/// Decodes events from pieces of a stream.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    after_cr: bool,
    at_start: bool,
}

impl Decoder {
    /// Creates a decoder that holds at most `limit` bytes of one event.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            event: Event::default(),
            has_data: false,
            after_cr: false,
            at_start: true,
        }
    }

    /// Takes the next bytes and adds the events that they complete to `out`.
    ///
    /// # Errors
    /// [`BadStream`]. Events before the invalid place are in `out`, and the decoder must not be used any more.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<Event>) -> Result<(), BadStream> {
        loop {
            if self.after_cr && !bytes.is_empty() {
                self.after_cr = false;
                bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                return self.hold(bytes);
            };
            let (head, tail) = bytes.split_at(end);
            self.hold(head)?;
            self.after_cr = tail.first() == Some(&b'\r');
            bytes = tail.get(1..).unwrap_or_default();
            self.end_line(out)?;
        }
    }

    /// Ends the stream. An event without its closing empty line counts, since several servers omit it.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(mut self, out: &mut Vec<Event>) -> Result<(), BadStream> {
        if !self.line.is_empty() {
            self.end_line(out)?;
        }
        self.dispatch(out);
        Ok(())
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), BadStream> {
        let held =
            self.line.len().saturating_add(self.event.data.len()).saturating_add(self.event.kind.len());
        if held.saturating_add(bytes.len()) > self.limit {
            return Err(BadStream::TooLarge(self.limit));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, out: &mut Vec<Event>) -> Result<(), BadStream> {
        let line = std::mem::take(&mut self.line);
        let mut text = std::str::from_utf8(&line).map_err(|_| BadStream::NotText)?;
        if std::mem::take(&mut self.at_start) {
            text = text.strip_prefix('\u{feff}').unwrap_or(text);
        }
        if text.is_empty() {
            self.dispatch(out);
        } else {
            self.field(text);
        }
        // The buffer is reused: most lines of a stream have similar lengths.
        self.line = line;
        self.line.clear();
        Ok(())
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event.kind),
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            // Comments (an empty name), `retry` and unknown fields are ignored.
            _ => {}
        }
    }

    fn dispatch(&mut self, out: &mut Vec<Event>) {
        let event = std::mem::take(&mut self.event);
        if std::mem::take(&mut self.has_data) {
            out.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<Event>, BadStream> {
        let (mut decoder, mut out) = (Decoder::new(64), Vec::new());
        for piece in pieces {
            decoder.push(piece, &mut out)?;
        }
        decoder.finish(&mut out)?;
        Ok(out)
    }

    fn data(text: &str) -> Event {
        Event { data: text.to_owned(), ..Event::default() }
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let stream = "\u{feff}: hello\n\ndata: one\ndata:two\r\n\r\nevent: ping\nid: 7\ndata\n\nevent: lost\n\nretry: 3\ndata:  {}\r\r";
        let ping = Event { kind: "ping".into(), data: String::new(), id: Some("7".into()) };
        assert_eq!(read(&[stream.as_bytes()]), Ok(vec![data("one\ntwo"), ping, data(" {}")]));
    }

    #[test]
    fn the_last_event_counts_without_its_empty_line() {
        assert_eq!(read(&[b"data: [DO", b"NE]"]), Ok(vec![data("[DONE]")]));
    }

    #[test]
    fn what_is_too_large_or_not_text_is_an_error() {
        assert_eq!(read(&[b"data: ", &[b'x'; 60]]), Err(BadStream::TooLarge(64)));
        let line = [b"data:".as_slice(), &[b'x'; 30], b"\n"].concat();
        assert_eq!(read(&[&line, &line, &line]), Err(BadStream::TooLarge(64)), "many lines are one event");
        assert_eq!(read(&[b"data: \xff\n\n"]), Err(BadStream::NotText));
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_makes_no_difference(
            lines in prop::collection::vec("(data|event|id|x|): ?[a-zä€]{0,5}(\n|\r|\r\n)|(\n|\r|\r\n)", 0..12),
            cuts in prop::collection::vec(0_usize..80, 0..6),
        ) {
            let text = lines.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[&text]));
        }

        #[test]
        fn no_bytes_make_it_panic_or_hold_too_much(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let (mut decoder, mut out) = (Decoder::new(64), Vec::new());
            let _ = decoder.push(&bytes, &mut out);
            prop_assert!(decoder.line.len() + decoder.event.data.len() <= 64 + 12);
        }
    }
}
