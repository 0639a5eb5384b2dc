//! Signs in a message that speak against an action: a negation, an undo, a condition, a report, a question.
//!
//! It errs towards doing nothing: a user who is asked back repeats the request in plain words, whereas money that was
//! sent is gone.

use cardea_core::tool::ToolSpec;

use super::{
    choose,
    instruct::{instruction, parts, sentences, verbs_of, words},
    mood,
    said::Nouns,
    schema::{Property, Role, Want},
    signs::{
        ABOUT_DOING, CONDITIONS, DEEDS, LATE_QUESTIONS, NOT, OPENERS, POINTING, QUESTIONS, REPORTS, STATING,
        TAKING_BACK, TELLING, UNDOING, UNITS, WONDERING,
    },
    words::stem,
};

/// Reason to do nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caution {
    /// It is forbidden.
    Forbidden,
    /// Something that was done is to be undone.
    Undone,
    /// It depends on a condition or another time, or is one of several requests.
    Conditional,
    /// It reports what someone said or did.
    Reported,
    /// It is a question.
    Asked,
    /// It only says `and 113`, which leaves the action open.
    Short,
}

impl Caution {
    /// Returns what is said instead of acting.
    pub(super) fn says(self, tool: &ToolSpec) -> String {
        let why = match self {
            Self::Forbidden => {
                "something in your message says that it shall not be done. If it shall, ask for it without a “not”."
            }
            Self::Undone => "I read that as taking something back, which I cannot do.",
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

/// Said before data that was looked up instead of acting.
pub(super) const LOOKED: &str = "I changed nothing, since that is a question.";

/// Returns what in this text speaks against calling this tool, which changes something. Text that is to be written
/// down does not count.
pub(super) fn of(text: &str, tool: &ToolSpec, properties: &[Property], nouns: &Nouns) -> Option<Caution> {
    let verbs = verbs_of(tool, nouns);
    let scene = Scene {
        verbs: &verbs,
        nouns,
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

/// Returns whether a word of the text names what this tool does: an irreversible action is never guessed.
pub(super) fn names(text: &str, tool: &ToolSpec, nouns: &Nouns) -> bool {
    let verbs = verbs_of(tool, nouns);
    verbs.is_empty() || words(text).iter().any(|word| verbs.iter().any(|verb| choose::same(word, verb)))
}

/// Returns whether the text contains a negation.
pub(super) fn denies(text: &str) -> bool {
    clauses(text).iter().any(Clause::denies)
}

/// Facts about the tool.
struct Scene<'a> {
    verbs: &'a [String],
    nouns: &'a Nouns,
    /// True if it takes a time.
    timed: bool,
    /// True if it switches things on and off.
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
    /// True if it is the last part of a sentence that ends in a question mark.
    asks: bool,
    /// True if its sentence is a polite request: `can you …?`
    polite: bool,
    begins: bool,
}

impl Clause {
    /// Returns the words after greetings and the like.
    fn lead(&self) -> &[String] {
        let start = self.words.iter().position(|word| !OPENERS.contains(&word.as_str()));
        start.and_then(|start| self.words.get(start..)).unwrap_or_default()
    }

    fn has(&self, any: &[&str]) -> bool {
        self.words.iter().any(|word| any.contains(&word.as_str()))
    }

    /// Matches `can you …`, but not `can you tell me whether …`.
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

    /// Returns whether a following clause says how things are, not what is to be done.
    fn states(&self, first: bool, scene: &Scene<'_>) -> bool {
        let stating = self.words.first().is_some_and(|word| STATING.contains(&word.as_str()));
        let doing = self.words.iter().any(|word| mood::orders(word) || scene.verbs.contains(&stem(word)));
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
            let mut after = self.words.iter().skip(at.saturating_add(1)).map(|word| stem(word));
            let object = after.clone().find(|word| !POINTING.contains(&word.as_str())).unwrap_or_default();
            let mut deed = |other: bool| {
                after.any(|word| DEEDS.contains(&word.as_str()) && !(other && scene.verbs.contains(&word)))
            };
            // `cancel the refund` is not for a tool that cancels orders; `and cancel order 4` is a second request.
            let own = scene.switch || scene.verbs.iter().any(|verb| choose::same(word, verb));
            let thing = scene.nouns.known(&object).is_some();
            TAKING_BACK.contains(&word.as_str()) && if own { deed(true) } else { !thing || deed(false) }
        };
        let pair = |one: &str, two: &str| {
            self.words.windows(2).any(|pair| matches!(pair, [a, b] if a == one && b == two))
        };
        self.has(UNDOING)
            || self.words.iter().enumerate().any(back)
            || pair("take", "back")
            || pair("call", "off")
            || pair("hold", "off")
            || pair("roll", "back")
            || pair("my", "mind")
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
        // `tickets 31 to 33`
        let range = |at: usize| {
            let to = matches!(word(at + 2), "to" | "through" | "till" | "until");
            word(at).ends_with('s') && number(at + 1) && (number(at + 2) || to && number(at + 3))
        };
        (0..self.words.len()).any(|at| hangs(at) || range(at))
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
        // `about closing ticket 8` only mentions it.
        let spoken_of = |pair: &[String]| match pair {
            [before, word] => word.ends_with("ing") && before != "mind" && scene.verbs.contains(&stem(word)),
            _ => false,
        };
        self.has(REPORTS) || self.words.windows(2).any(|pair| told(pair) || spoken_of(pair))
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

/// Returns the parts of all sentences.
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
