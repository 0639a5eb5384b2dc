//! What in a message speaks against doing anything: a no, an undoing, a condition, a report, a question.
//!
//! It errs towards doing nothing: who is asked back says it again in plain words, and money that has left is gone.

use cardea_core::tool::ToolSpec;

use super::{
    choose,
    said::Nouns,
    schema::{Property, Role, Want, tool_nouns},
    words::stem,
};

/// Why nothing is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caution {
    /// It is forbidden.
    Forbidden,
    /// Something that was done shall be taken back.
    Undone,
    /// It hangs on a condition, on another time, or is one of several.
    Conditional,
    /// It tells what somebody said or did.
    Reported,
    /// It asks.
    Asked,
    /// It only says `and 113`: of what, is a guess.
    Short,
}

impl Caution {
    /// What is said instead of doing it.
    pub(super) fn says(self, tool: &ToolSpec) -> String {
        let why = match self {
            Self::Forbidden => {
                "something in your message says that it shall not be done. If it shall, ask for it without a “not”."
            }
            Self::Undone => "I cannot take back what was done.",
            Self::Conditional => {
                "I cannot wait for a condition or a later time, nor choose between two things. Ask for it when it \
                 shall be done, and for one thing."
            }
            Self::Reported => {
                "I read that as news of what somebody said or did. If it shall be done, ask for it yourself."
            }
            Self::Short => "I am not sure what you want. Say it in full.",
            Self::Asked => "I read that as a question. If it shall be done, ask me to do it.",
        };
        format!("I did nothing: {why} (It would have been `{}`.)", tool.name)
    }
}

/// Said before what was looked up instead of doing it.
pub(super) const LOOKED: &str = "I changed nothing, since that is a question.";

const NOT: &[&str] = &[
    "not", "never", "cannot", "dont", "doesnt", "didnt", "wont", "cant", "shouldnt", "wouldnt", "mustnt",
    "isnt", "arent", "wasnt", "nobody", "nothing", "none", "neither", "nor", "without", "instead", "rather",
    "refrain", "avoid", "except", "forget", "nicht", "nie", "niemals", "kein", "keine", "keinen", "nunca",
    "jamais", "pas", "niet", "geen", "não",
];
const UNDOING: &[&str] =
    &["undo", "undoing", "undone", "revert", "reverted", "reverse", "reversal", "rollback", "unrefund"];
/// Words that take something back, unless the tool itself does that: `cancel` for a tool that refunds.
const TAKING_BACK: &[&str] = &[
    "cancel", "stop", "withdraw", "revoke", "remove", "delete", "retract", "drop", "abort", "void", "erase",
];
const POINTING: &[&str] = &["the", "that", "this", "these", "those", "my", "our", "a", "last", "all", "any"];
/// What was done, as stems: taking it back is another thing than doing it.
const DEEDS: &[&str] = &[
    "refund",
    "discount",
    "note",
    "comment",
    "escalation",
    "assignment",
    "update",
    "change",
    "payment",
    "credit",
];
const CONDITIONS: &[&str] = &[
    "if",
    "unless",
    "whenever",
    "when",
    "once",
    "assuming",
    "provided",
    "providing",
    "suppose",
    "supposing",
    "otherwise",
    "depending",
    "or",
    "either",
    "maybe",
    "perhaps",
    "possibly",
    "might",
    "hypothetically",
    "imagine",
    "pretend",
    "wenn",
    "falls",
    "sobald",
    "oder",
    "vielleicht",
];
const UNITS: &[&str] = &["minute", "hour", "day", "week", "month", "quarter", "year"];
const REPORTS: &[&str] = &[
    "said",
    "says",
    "told",
    "tells",
    "wrote",
    "writes",
    "claims",
    "claimed",
    "heard",
    "according",
    "thinks",
    "thought",
    "suggested",
    "suggests",
    "believes",
    "mentioned",
    "asked",
    "asks",
    "allegedly",
    "supposedly",
    "apparently",
    "already",
    "sagt",
    "sagte",
    "schrieb",
];
const WONDERING: &[&str] = &["whether", "wonder", "wondering", "explain", "possible", "allowed", "curious"];
/// First words of a question.
const QUESTIONS: &[&str] = &[
    "what", "whats", "where", "when", "who", "whose", "whom", "which", "how", "why", "is", "are", "am",
    "does", "did", "has", "have", "had", "was", "were", "any", "should", "shall", "may", "must", "might",
    "soll", "sollte", "sollen", "darf", "dürfen", "kann", "können", "wer", "warum", "wann", "wurde", "hast",
];
/// First words of a question that stands behind a comma.
const LATE_QUESTIONS: &[&str] = &["should", "shall", "may", "did", "does", "was", "were", "has", "have"];
/// What somebody who says `can you …` wants to hear and not to have done.
const TELLING: &[&str] = &[
    "know",
    "explain",
    "confirm",
    "see",
    "verify",
    "check",
    "guess",
    "recommend",
    "advise",
    "suggest",
    "think",
    "say",
    "want",
    "like",
    "prefer",
    "rather",
    "have",
];
/// Words before what is meant.
const OPENERS: &[&str] = &[
    "please", "hey", "hi", "hello", "ok", "okay", "so", "and", "then", "well", "now", "sorry", "kindly",
    "just", "also", "but", "thanks", "thank", "or", "yes",
];
/// First words of a clause that only says how things are: `the customer is not happy`.
const STATING: &[&str] = &[
    "the", "his", "her", "their", "its", "it", "he", "she", "they", "customer", "client", "there", "parcel",
];
/// What such a clause must not hold: then it is about what may be done.
const ABOUT_DOING: &[&str] = &[
    "allow",
    "allowed",
    "allows",
    "approve",
    "approved",
    "permitted",
    "ok",
    "okay",
    "yet",
    "sure",
    "correct",
    "right",
    "do",
    "done",
    "that",
    "this",
    "we",
    "i",
    "you",
    "should",
    "must",
    "may",
];

/// What in this text speaks against calling this tool, which changes something. Text that is to be written down
/// speaks for nobody.
pub(super) fn of(text: &str, tool: &ToolSpec, properties: &[Property], nouns: &Nouns) -> Option<Caution> {
    let verbs = verbs_of(tool, nouns);
    let scene = Scene {
        verbs: &verbs,
        timed: properties.iter().any(is_time),
        switch: properties.iter().any(is_switch),
    };
    let text = instruction(text, tool, properties, nouns);
    let clauses = clauses(&text);
    let found: Vec<Caution> =
        clauses.iter().enumerate().filter_map(|(at, clause)| clause.caution(at == 0, &scene)).collect();
    let worst =
        [Caution::Forbidden, Caution::Undone, Caution::Conditional, Caution::Reported, Caution::Asked];
    worst.into_iter().find(|caution| found.contains(caution))
}

/// The words of a tool's name that are not what it is about.
fn verbs_of(tool: &ToolSpec, nouns: &Nouns) -> Vec<String> {
    let mut verbs = tool_nouns(tool);
    verbs.retain(|word| nouns.known(word).is_none());
    verbs
}

/// True if the text holds a no.
pub(super) fn denies(text: &str) -> bool {
    clauses(text).iter().any(Clause::denies)
}

/// What is known of the tool.
struct Scene<'a> {
    verbs: &'a [String],
    /// It takes a time.
    timed: bool,
    /// It turns things on and off.
    switch: bool,
}

fn is_time(property: &Property) -> bool {
    matches!(property.want, Want::Date { .. } | Want::Span(_) | Want::Free(Role::Period))
}

fn is_switch(property: &Property) -> bool {
    matches!(property.want, Want::Truth)
}

/// A part of a sentence.
struct Clause {
    words: Vec<String>,
    /// Its sentence ends in a question mark, and it is the last one there.
    asks: bool,
    /// Its sentence is a polite wish: `can you …?`
    polite: bool,
    begins: bool,
}

impl Clause {
    /// The words after greetings and the like.
    fn lead(&self) -> &[String] {
        let start = self.words.iter().position(|word| !OPENERS.contains(&word.as_str()));
        start.and_then(|start| self.words.get(start..)).unwrap_or_default()
    }

    fn has(&self, any: &[&str]) -> bool {
        self.words.iter().any(|word| any.contains(&word.as_str()))
    }

    /// `can you …`, and not `can you tell me whether …`.
    fn is_polite(&self) -> bool {
        let lead: Vec<&str> = self.lead().iter().map(String::as_str).collect();
        match lead.as_slice() {
            ["can" | "could" | "would" | "will", "you" | "u", rest @ ..] => {
                !rest.iter().find(|word| **word != "please").is_some_and(|word| TELLING.contains(word))
            }
            _ => false,
        }
    }

    fn denies(&self) -> bool {
        let no = |(at, word): (usize, &String)| {
            let next = self.words.get(at.saturating_add(1));
            // `order no. 17`
            word == "no" && !next.is_some_and(|next| next.starts_with(|c: char| c.is_ascii_digit()))
        };
        self.has(NOT)
            || self.words.iter().any(|word| word.ends_with("n't"))
            || self.words.iter().enumerate().any(no)
    }

    /// True for a clause behind another that says how things are, not what is to be done.
    fn states(&self, first: bool, scene: &Scene<'_>) -> bool {
        let stating = self.words.first().is_some_and(|word| STATING.contains(&word.as_str()));
        let doing = self.words.iter().any(|word| choose::orders(word) || scene.verbs.contains(&stem(word)));
        !first && stating && !doing && !self.has(ABOUT_DOING)
    }

    fn asks(&self, first: bool) -> bool {
        let lead: Vec<&str> = self.lead().iter().map(String::as_str).collect();
        let head = match lead.as_slice() {
            ["can" | "could" | "would" | "will", ..] => !self.is_polite() && self.begins,
            ["do", second, ..] => matches!(*second, "we" | "i" | "you" | "they" | "customers"),
            [word, ..] if self.begins || first => QUESTIONS.contains(word),
            [word, ..] => LATE_QUESTIONS.contains(word),
            [] => false,
        };
        head || (self.asks && !self.polite) || self.has(WONDERING)
    }

    fn undoes(&self, scene: &Scene<'_>) -> bool {
        let back = |(at, word): (usize, &String)| {
            let object =
                self.words.iter().skip(at.saturating_add(1)).find(|word| !POINTING.contains(&word.as_str()));
            // `cancel the refund` is nothing for a tool that cancels orders.
            let deed = object
                .map(|word| stem(word))
                .is_some_and(|word| DEEDS.contains(&word.as_str()) && !scene.verbs.contains(&word));
            let own = scene.switch || scene.verbs.iter().any(|verb| choose::same(word, verb));
            TAKING_BACK.contains(&word.as_str()) && (deed || !own)
        };
        let pair = |one: &str, two: &str| {
            self.words.windows(2).any(|pair| matches!(pair, [a, b] if a == one && b == two))
        };
        self.has(UNDOING)
            || self.words.iter().enumerate().any(back)
            || pair("take", "back")
            || pair("call", "off")
            || pair("roll", "back")
    }

    fn waits(&self, scene: &Scene<'_>) -> bool {
        let word = |at: usize| self.words.get(at).map_or("", String::as_str);
        let number = |at: usize| word(at).starts_with(|c: char| c.is_ascii_digit());
        let unit = |at: usize| UNITS.contains(&word(at).trim_end_matches('s'));
        let hangs = |at: usize| match word(at) {
            "in" if word(at + 1) == "case" => !number(at + 2),
            "in" | "within" => !scene.timed && number(at + 1) && unit(at + 2),
            "next" => !scene.timed && unit(at + 1),
            "tomorrow" | "later" | "tonight" | "soon" | "after" | "until" | "till" => !scene.timed,
            word => CONDITIONS.contains(&word),
        };
        (0..self.words.len()).any(hangs)
    }

    fn reports(&self, scene: &Scene<'_>) -> bool {
        let by = |word: &str| {
            matches!(
                word,
                "i" | "we"
                    | "he"
                    | "she"
                    | "they"
                    | "you"
                    | "have"
                    | "has"
                    | "had"
                    | "was"
                    | "were"
                    | "been"
                    | "got"
                    | "is"
                    | "are"
                    | "ve"
                    | "just"
            )
        };
        let told = |pair: &[String]| match pair {
            [before, word] => {
                let done = word.ends_with("ed") && scene.verbs.contains(&stem(word));
                by(before) && (done || matches!(word.as_str(), "gave" | "paid" | "sent" | "put"))
            }
            _ => false,
        };
        self.has(REPORTS) || self.words.windows(2).any(told)
    }

    fn caution(&self, first: bool, scene: &Scene<'_>) -> Option<Caution> {
        let states = self.states(first, scene);
        if self.denies() && !states {
            return Some(Caution::Forbidden);
        }
        if self.undoes(scene) && !states {
            return Some(Caution::Undone);
        }
        if self.asks(first) {
            return Some(Caution::Asked);
        }
        if self.waits(scene) {
            return Some(Caution::Conditional);
        }
        (self.reports(scene) && !states).then_some(Caution::Reported)
    }
}

/// The parts of all sentences.
fn clauses(text: &str) -> Vec<Clause> {
    let mut out = Vec::new();
    for (sentence, end) in sentences(text) {
        let at = out.len();
        let parts = parts(&sentence);
        let words = parts.iter().map(|part| words(part)).filter(|words| !words.is_empty());
        for (place, words) in words.enumerate() {
            out.push(Clause { words, asks: false, polite: false, begins: place == 0 });
        }
        let Some(own) = out.get_mut(at..) else { continue };
        let tail = own.last().is_some_and(|last| {
            let words: Vec<&str> = last.words.iter().map(String::as_str).collect();
            matches!(words.as_slice(), ["please"] | ["can" | "could" | "would" | "will", "you"])
        });
        let polite = own.iter().any(Clause::is_polite) || (tail && own.len() > 1);
        own.iter_mut().for_each(|clause| clause.polite = polite);
        if let Some(last) = own.last_mut() {
            last.asks = end == '?';
        }
    }
    out
}

/// The sentences, each with what ends it.
fn sentences(text: &str) -> Vec<(String, char)> {
    let mut out = vec![(String::new(), ' ')];
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        let gap = letters.peek().is_none_or(|next| next.is_whitespace());
        let short = out.last().is_some_and(|(last, _)| {
            let word = last.rsplit(' ').next().unwrap_or_default().to_lowercase();
            matches!(word.as_str(), "no" | "nr" | "e.g" | "approx" | "mr" | "mrs" | "dr")
        });
        let ends = match c {
            '?' | '!' | '\n' | ';' => true,
            '.' => gap && !short,
            _ => false,
        };
        match out.last_mut() {
            Some(last) if !ends => last.0.push(c),
            Some(last) => {
                last.1 = c;
                out.push((String::new(), ' '));
            }
            None => {}
        }
    }
    out
}

fn parts(sentence: &str) -> Vec<String> {
    let text = [" - ", " – ", " — ", ": ", " but "].iter().fold(sentence.to_owned(), |text, mark| {
        text.replace(mark, if *mark == " but " { ", but " } else { ", " })
    });
    text.split(", ").map(str::to_owned).collect()
}

fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace(['’', '`', '´'], "'");
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '\'').map(|word| word.trim_matches('\''));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The text without what is only to be written down: quoted words, reasons, and what a note or a comment shall say.
pub(super) fn instruction(text: &str, tool: &ToolSpec, properties: &[Property], nouns: &Nouns) -> String {
    let verbs = verbs_of(tool, nouns);
    let long = |property: &&Property| {
        matches!(
            property.want,
            Want::Free(Role::Note | Role::Subject | Role::Reason | Role::Other | Role::Search)
        )
    };
    if !properties.iter().any(|property| long(&property)) {
        return text.to_owned();
    }
    let unquoted = without_quoted(text);
    let mut text = if words(&unquoted).is_empty() { text.to_owned() } else { unquoted };
    let written = |property: &Property| {
        property.required && matches!(property.want, Want::Free(Role::Note | Role::Subject))
    };
    if properties.iter().any(written) {
        let lower = text.to_ascii_lowercase();
        let marks = [": ", " that says ", " saying ", " says ", " that ", ":\n"];
        let first = marks.iter().filter_map(|mark| lower.find(mark)).min();
        let head = first.and_then(|at| text.get(..at)).filter(|head| asks_to_write(head, &verbs));
        if let Some(head) = head.map(str::to_owned) {
            text = head;
        }
    }
    without_reasons(&text)
}

fn asks_to_write(head: &str, verbs: &[String]) -> bool {
    let words = words(head);
    let lead = words.iter().find(|word| !OPENERS.contains(&word.as_str()));
    let named = |word: &String| {
        matches!(word.as_str(), "new" | "note" | "comment" | "reply" | "complaint")
            || verbs.contains(&stem(word))
    };
    lead.is_some_and(|word| choose::orders(word)) || words.iter().any(named)
}

fn without_quoted(text: &str) -> String {
    let mut out = String::new();
    let mut end = None;
    for c in text.chars() {
        match (end, c) {
            (None, '"') => end = Some('"'),
            (None, '“') => end = Some('”'),
            (None, '«') => end = Some('»'),
            (None, c) => out.push(c),
            (Some(mark), c) if c == mark => end = None,
            (Some(_), _) => {}
        }
    }
    // An open quotation mark hides nothing.
    if end.is_some() { text.to_owned() } else { out }
}

/// Takes out `because …` up to the end of the sentence or a `but`.
fn without_reasons(text: &str) -> String {
    let mut out = String::new();
    for (sentence, end) in sentences(text) {
        let lower = sentence.to_ascii_lowercase();
        let start = [" because ", " since ", " due to "].iter().filter_map(|mark| lower.find(mark)).min();
        match start {
            Some(start) => {
                out.push_str(sentence.get(..start).unwrap_or_default());
                let rest = lower.get(start..).unwrap_or_default();
                let more = rest.find(", ").or_else(|| rest.find(" but "));
                out.push_str(
                    more.and_then(|at| sentence.get(start.saturating_add(at)..)).unwrap_or_default(),
                );
            }
            None => out.push_str(&sentence),
        }
        out.push(end);
    }
    out
}
