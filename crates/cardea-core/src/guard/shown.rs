//! Converts a text from its source form to the form that a reader sees: quotes without the backslashes of a JSON
//! string, and HTML without tags.
//!
//! INVARIANT: each byte depends on a few bytes around it, and the end that further text could change is left out. So a
//! stream gives the same result as the whole text.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr2, memchr3, memmem};

use super::normalize::View;

/// Maximum number of backslashes before a quote: four levels.
const MOST_STROKES: usize = 15;

/// A converted text.
pub(super) struct Shown {
    pub(super) view: View<'static>,
    /// Offset in the source from which on further text can change the result.
    pub(super) until: usize,
}

/// Returns all conversions of a text. `more` says that further text may follow.
pub(super) fn shown(view: &View<'_>, more: bool) -> Vec<Shown> {
    let bare = unescaped(view, more);
    let read = without_tags(bare.as_ref().map_or(view, |bare| &bare.view), more);
    bare.into_iter().chain(read).collect()
}

/// Bytes with their offsets in the source.
struct Made<'a, 'v> {
    from: &'a View<'v>,
    text: Vec<u8>,
    source: Vec<(u32, u32)>,
    /// The last byte that is not white space.
    last: Option<u8>,
}

impl<'a, 'v> Made<'a, 'v> {
    fn new(from: &'a View<'v>) -> Self {
        let (text, source) = (Vec::with_capacity(from.text.len()), Vec::with_capacity(from.text.len()));
        Self { from, text, source, last: None }
    }

    fn home(&self, place: Range<usize>) -> (u32, u32) {
        let (from, to) = self.from.back(place.start, place.end);
        (u32::try_from(from).unwrap_or(u32::MAX), u32::try_from(to).unwrap_or(u32::MAX))
    }

    fn copy(&mut self, place: Range<usize>) {
        let text = self.from.bytes().get(place.clone()).unwrap_or_default();
        self.last = text.trim_ascii_end().last().copied().or(self.last);
        self.text.extend_from_slice(text);
        for at in place {
            self.source.push(self.home(at..at + 1));
        }
    }

    /// Removes bytes at the end.
    fn trim(&mut self, ends: impl Fn(u8) -> bool) {
        let length = self.text.iter().rposition(|byte| !ends(*byte)).map_or(0, |at| at + 1);
        self.text.truncate(length);
        self.source.truncate(length);
    }

    fn done(self, until: usize) -> Option<Shown> {
        let view = View::made(String::from_utf8(self.text).ok()?, self.source);
        Some(Shown { view, until })
    }
}

/// Returns the text without backslashes before quotes, if there are any.
fn unescaped(view: &View<'_>, more: bool) -> Option<Shown> {
    let bytes = view.bytes();
    let is_quote = |at: usize| matches!(bytes.get(at), Some(b'"' | b'\''));
    if !memchr_iter(b'\\', bytes).any(|at| is_quote(at + 1)) {
        return None;
    }
    let (mut made, mut from) = (Made::new(view), 0);
    while let Some(at) = bytes.get(from..).and_then(|rest| memchr(b'\\', rest)).map(|at| from + at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let strokes = rest.iter().take_while(|byte| **byte == b'\\').count();
        let end = at + strokes;
        made.copy(from..if strokes <= MOST_STROKES && is_quote(end) { at } else { end });
        from = end;
    }
    made.copy(from..bytes.len());
    if more {
        made.trim(|byte| byte == b'\\');
    }
    made.done(usize::MAX)
}

/// Maximum length of a tag, in bytes.
const LONGEST_TAG: usize = 200;

/// Maximum length of the white space between two elements, the second of which is the value of the first.
const LONGEST_INDENT: usize = 64;

/// Maximum length of an entity for a space, in bytes.
const LONGEST_ENTITY: usize = 8;

/// What a reader sees in place of a tag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A separator.
    Space,
    /// A line end.
    Line,
    /// The beginning of a table row.
    Row,
    /// The beginning of a cell. White space before it does not end a line.
    Cell,
    /// The end of a cell.
    Ends,
    /// The end of a name.
    Name,
    /// A value, if it directly follows; otherwise a stand-in to fill in.
    Value,
}

/// Tags that are not stand-ins such as `<password>`. A slash marks those whose closing tag has another meaning.
const TAGS: &[(Place, &[&str])] = &[
    (
        Place::Space,
        &[
            "a", "b", "i", "u", "s", "em", "strong", "code", "pre", "kbd", "samp", "tt", "span", "font",
            "small", "big", "sub", "sup", "mark", "del", "ins", "q", "wbr", "nobr", "center", "dl", "ol",
            "ul", "label", "dt", "/dd", "/value", "/string",
        ],
    ),
    (
        Place::Line,
        &[
            "br",
            "p",
            "div",
            "li",
            "hr",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "table",
            "tbody",
            "thead",
            "tfoot",
            "body",
            "html",
            "section",
            "article",
            "blockquote",
            "/tr",
        ],
    ),
    (Place::Row, &["tr"]),
    (Place::Cell, &["td", "th", "dd"]),
    (Place::Ends, &["/td", "/th"]),
    (Place::Name, &["/dt", "/label", "/name", "/key"]),
    (Place::Value, &["value", "string"]),
];

/// A tag and its length.
enum Tag {
    None,
    /// Further text may make it a tag.
    Begun,
    Is(Place, usize),
    /// An element with attributes, and the length of its name.
    Named(usize, usize),
}

fn place(name: &str) -> Option<Place> {
    let of = |name: &str| TAGS.iter().find(|(_, names)| names.contains(&name)).map(|(place, _)| *place);
    of(name).or_else(|| name.strip_prefix('/').and_then(of))
}

/// Returns the tag at the beginning of a text.
fn tag(rest: &[u8], more: bool) -> Tag {
    let head = rest.get(..LONGEST_TAG).unwrap_or(rest);
    // Text that may still become a tag, as far as it is present.
    let begun =
        || if more && head.len() == rest.len() && head.len() < LONGEST_TAG { Tag::Begun } else { Tag::None };
    let opens = |sign: &[u8]| head.starts_with(sign);
    if opens(b"<![CDATA[") {
        return Tag::Is(Place::Space, 9);
    }
    if opens(b"<!--") {
        let end = memmem::find(head, b"-->");
        return end.map_or_else(begun, |at| Tag::Is(Place::Space, at + 3));
    }
    let solid = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'!');
    match head.get(1) {
        Some(byte) if solid(byte) => {}
        Some(_) => return Tag::None,
        None => return begun(),
    }
    let behind = head.get(1..).unwrap_or_default();
    let end = match memchr2(b'<', b'>', behind) {
        Some(at) if behind.get(at) == Some(&b'>') => at + 2,
        Some(_) => return Tag::None,
        None => return begun(),
    };
    let inside = head.get(1..end - 1).unwrap_or_default();
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    let named = usize::from(inside.starts_with(b"/"));
    let length = named + inside.iter().skip(named).take_while(|byte| in_name(byte)).count();
    let (name, attributes) = inside.split_at_checked(length).unwrap_or((inside, &[]));
    let ends = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'/';
    if !attributes.first().is_none_or(ends) {
        return Tag::None;
    }
    let small = String::from_utf8_lossy(name).to_ascii_lowercase();
    match place(&small) {
        Some(place) => Tag::Is(place, end),
        None if named == 0 && attributes.contains(&b'=') => Tag::Named(1 + length, end),
        None => Tag::None,
    }
}

/// Returns an entity for a space, or the end of a CDATA section.
fn sign(rest: &[u8], more: bool) -> Tag {
    const SPACES: [&[u8]; 7] = [b"&nbsp;", b"&#160;", b"&#xa0;", b"&#xA0;", b"&ensp;", b"&emsp;", b"]]>"];
    match SPACES.iter().find(|space| rest.starts_with(space)) {
        Some(space) => Tag::Is(Place::Space, space.len()),
        None if more && rest.len() < LONGEST_ENTITY && SPACES.iter().any(|space| space.starts_with(rest)) => {
            Tag::Begun
        }
        None => Tag::None,
    }
}

/// Returns the text without HTML tags and without attributes of XML elements, if there are any.
fn without_tags(view: &View<'_>, more: bool) -> Option<Shown> {
    let bytes = view.bytes();
    memchr(b'<', bytes)?;
    let (mut made, mut from, mut at, mut any) = (Made::new(view), 0, 0, false);
    let mut until = usize::MAX;
    while let Some(next) = bytes.get(at..).and_then(|rest| memchr3(b'<', b'&', b']', rest)) {
        at += next;
        let rest = bytes.get(at..).unwrap_or_default();
        let found = if rest.starts_with(b"<") { tag(rest, more) } else { sign(rest, more) };
        let before = bytes.get(at.saturating_sub(LONGEST_INDENT)..at).unwrap_or_default().trim_ascii_end();
        match found {
            Tag::Begun => {
                until = view.back(at, at).0;
                break;
            }
            Tag::Is(place, length) if place != Place::Value || before.ends_with(b">") => {
                made.copy(from..at);
                made.show(place, at..at + length);
                (from, at, any) = (at + length, at + length, true);
            }
            Tag::Named(name, length) => {
                made.copy(from..at + name);
                made.put(">", at + length - 1..at + length);
                (from, at, any) = (at + length, at + length, true);
            }
            Tag::Is(..) | Tag::None => at += 1,
        }
    }
    if !any {
        return None;
    }
    made.copy(from..if until < usize::MAX { at } else { bytes.len() });
    if more {
        made.trim(|byte| byte.is_ascii_whitespace());
    }
    made.done(until)
}

/// Returns the HTML tables as lines of cells, if there are any.
pub(super) fn tables(view: &View<'_>) -> Option<View<'static>> {
    let is_row =
        |at: usize| view.bytes().get(at + 1..at + 3).is_some_and(|name| name.eq_ignore_ascii_case(b"tr"));
    let any = memchr_iter(b'<', view.bytes()).any(is_row);
    any.then(|| without_tags(view, false)).flatten().map(|shown| shown.view)
}

impl Made<'_, '_> {
    fn put(&mut self, text: &str, place: Range<usize>) {
        let home = self.home(place);
        self.last = text.trim_ascii_end().bytes().last().or(self.last);
        self.text.extend_from_slice(text.as_bytes());
        self.source.extend(std::iter::repeat_n(home, text.len()));
    }

    /// Appends what a reader sees in place of a tag.
    fn show(&mut self, place: Place, tag: Range<usize>) {
        if matches!(place, Place::Cell | Place::Ends | Place::Value) {
            self.trim(|byte| byte.is_ascii_whitespace());
        }
        let last = self.last;
        let blank = self.text.last().is_none_or(u8::is_ascii_whitespace);
        let text = match place {
            Place::Row if self.text.ends_with(b"\n") => "| ",
            Place::Row => "\n| ",
            // A value may follow.
            _ if last == Some(b':') && !blank => " ",
            _ if last == Some(b':') => "",
            Place::Ends => " |",
            Place::Name => ": ",
            Place::Line if self.text.ends_with(b"\n") => "",
            Place::Line if !self.text.ends_with(b"| ") => "\n",
            _ if blank => "",
            _ => " ",
        };
        self.put(text, tag);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::normalize::fold, *};

    fn read(text: &str) -> Vec<String> {
        shown(&fold(text), false).into_iter().map(|shown| shown.view.text.into_owned()).collect()
    }

    #[test]
    fn a_text_is_read_as_it_is_shown_and_leads_back() {
        for (text, told) in [
            ("Password: <b>X</b>", "Password: X "),
            ("<p>Password:<br>X</p>", "\nPassword: X\n"),
            ("<tr>\n <td>Passwort:</td>\n <td><p>X</p></td>\n</tr>", "\n| Passwort: X |\n"),
            (
                "<tr><th scope='row'>a</th><th>b</th></tr><tr><td>c</td><td>d</td></tr>",
                "\n| a | b |\n| c | d |\n",
            ),
            ("<dt>a</dt><dd>b</dd>", "a: b "),
            ("<x:a b='c'>d</x:a>", "<x:a>d</x:a>"),
            ("<name>a</name> <value>b</value>", "<name>a: b "),
            ("a<!-- b > c -->d <![CDATA[e]]>&nbsp;f", "a d e f"),
            (r#"{\"a\":\\\"b\\\"}"#, r#"{"a":"b"}"#),
        ] {
            let shown: Vec<String> = read(text);
            assert_eq!(shown, [told], "{text}");
        }
        assert_eq!(read(r#"\"a\" <b>c</b>"#), [r#""a" <b>c</b>"#, r#""a" c "#]);
        for text in
            ["a < b > c", "if a<b", "password: <string>, <value>", "<password>", r"C:\a", "&amp; ]] Vec<u8>"]
        {
            assert!(read(text).is_empty(), "{text}");
        }
        let text = "né <b>é1</b> x";
        let view = shown(&fold(text), false).pop().unwrap().view;
        let at = view.text.find("e1").unwrap();
        let (from, to) = view.back(at, at + 2);
        assert_eq!(text.get(from..to), Some("é1"));
    }

    #[test]
    fn what_more_text_may_change_at_the_end_is_left_out() {
        for (text, told, until) in [
            ("<b>a</b> b <t", "a  b", 11),
            ("<b>a</b> b \\", "a  b \\", usize::MAX),
            ("<b>a</b> b &nb", "a  b", 11),
            ("<b>a</b> b <5", "a  b <5", usize::MAX),
        ] {
            let shown = shown(&fold(text), true).pop().unwrap();
            assert_eq!((shown.view.text.as_ref(), shown.until), (told, until), "{text}");
        }
    }
}
