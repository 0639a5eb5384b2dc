//! Topics defined by example sentences: those that an agent must not discuss, or those to which it is limited.
//!
//! The caller provides the sentence encoder. A text is about a topic if its vector is close enough to that of an
//! example. A text is read in pieces of [`LETTERS`] characters, at most [`MOST_PIECES`] of them, evenly spaced. Topics
//! require the whole text and do not work on streams: a profile with a topic on `output` is refused at start.

use std::sync::{Arc, OnceLock};

use super::{
    catalogue::{Catalogue, KindId},
    injection::{DIMS, SecondReader},
    normalize::View,
    profile::{OnSilence, Profile, Topic},
    seen::Seen,
    verdict::{Action, Surface},
};
use crate::{Code, Error, Result};

/// Length of a piece, in characters: what the encoder reads of a text.
const LETTERS: usize = 600;

/// Maximum number of pieces of one text.
const MOST_PIECES: usize = 4;

/// Maximum number of examples of one topic.
const MOST_EXAMPLES: usize = 64;

/// Minimum length of a text. A shorter one ("yes, the second one") is about no topic, and counts as inside every
/// allowed one.
const SHORTEST: usize = 24;

/// Rule of a finding which reports that the encoder did not answer.
const UNANSWERED: &str = "topic_unanswered";

/// Rule of a finding which reports that a text is about none of the allowed topics.
const ELSEWHERE: &str = "off_topic";

type Vector = [f32; DIMS];

/// Vectors of the examples of one topic.
struct Place {
    like: Vec<Vector>,
    unlike: Vec<Vector>,
}

impl Place {
    /// Returns the similarity of a piece to the topic; 0 if it is more similar to a counterexample.
    fn nearness(&self, piece: &Vector) -> f32 {
        let most = |examples: &[Vector]| {
            examples.iter().map(|example| cosine(example, piece)).fold(f32::MIN, f32::max)
        };
        let like = most(&self.like);
        if most(&self.unlike) >= like { 0.0 } else { like }
    }
}

/// Returns the cosine of two vectors of length one.
fn cosine(a: &Vector, b: &Vector) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The topics of a profile.
pub(super) struct Topics {
    topics: Vec<Topic>,
    names: Vec<Arc<str>>,
    kind: KindId,
    /// Vectors of the examples, set once an encoder has answered.
    places: OnceLock<Vec<Place>>,
}

impl Topics {
    pub(super) fn compile(profile: &Profile, catalogue: &Catalogue) -> Result<Self> {
        let kind = catalogue.find("topic").ok_or_else(|| wrong("", "cannot be kept: its kind is missing"))?;
        for (number, topic) in profile.topics.iter().enumerate() {
            if profile.topics.iter().take(number).any(|other| other.name == topic.name) {
                return Err(wrong(
                    &topic.name,
                    "is there twice; put both into one, or give one another name",
                ));
            }
            let blank = |text: &String| text.trim().is_empty() || text.len() > LETTERS;
            if topic.examples.is_empty() || topic.examples.len() + topic.unlike.len() > MOST_EXAMPLES {
                return Err(wrong(&topic.name, "needs between one and 64 example sentences"));
            }
            if topic.examples.iter().chain(&topic.unlike).any(blank) {
                return Err(wrong(&topic.name, "has an example that is empty or longer than 600 bytes"));
            }
            if !(0.0..=1.0).contains(&topic.near) {
                return Err(wrong(&topic.name, "has a `near` that is not between 0 and 1"));
            }
            if topic.action == Action::Mask {
                return Err(wrong(
                    &topic.name,
                    "cannot be masked: it is a text as a whole; refuse it or warn",
                ));
            }
            if topic.surfaces.iter().any(|surface| matches!(surface, Surface::Output)) {
                return Err(wrong(&topic.name, "cannot be looked for in `output`, which leaves in pieces"));
            }
        }
        let names = profile.topics.iter().map(|topic| Arc::from(topic.name.as_str())).collect();
        Ok(Self { topics: profile.topics.clone(), names, kind, places: OnceLock::new() })
    }

    pub(super) fn are_none(&self) -> bool {
        self.topics.is_empty()
    }

    /// Returns whether a topic applies to this surface.
    pub(super) fn speak_of(&self, surface: Surface) -> bool {
        self.here(surface).next().is_some()
    }

    fn here(&self, surface: Surface) -> impl Iterator<Item = (usize, &Topic)> {
        let speaks = move |topic: &Topic| match topic.surfaces.as_slice() {
            [] => surface == Surface::User,
            surfaces => surfaces.contains(&surface),
        };
        self.topics.iter().enumerate().filter(move |(_, topic)| speaks(topic))
    }

    /// Adds a finding for each topic of the text, and one if it is about none of the allowed topics.
    pub(super) fn read(
        &self,
        (view, length): (&View<'_>, usize),
        surface: Surface,
        reader: &dyn SecondReader,
        seen: &mut Vec<Seen>,
    ) {
        if !self.speak_of(surface) || view.text.trim().is_empty() {
            return;
        }
        let mut put = |rule: Arc<str>, confidence: f32, action: Action| {
            let (kind, detector) = (self.kind, "topic");
            let span = 0..length;
            seen.push(Seen { kind, span, confidence, detector, rule, rank: 1, forced: Some(action) });
        };
        let pieces: Option<Vec<Vector>> = pieces(view.text.trim()).map(|piece| reader.read(piece)).collect();
        let Some((places, pieces)) = self.places(reader).zip(pieces) else {
            let silent = self.here(surface).filter_map(|(_, topic)| match topic.on_silence {
                OnSilence::FirstVerdict => None,
                OnSilence::Warn => Some(Action::Warn),
                OnSilence::Refuse => Some(Action::Refuse),
            });
            if let Some(action) = silent.max() {
                put(UNANSWERED.into(), 0.5, action);
            }
            return;
        };
        let nearness = |number: usize| {
            let Some(place) = places.get(number) else { return 0.0 };
            pieces.iter().map(|piece| place.nearness(piece)).fold(0.0, f32::max)
        };
        // The action on texts outside the allowed topics; the most severe one counts.
        let mut outside: Option<Action> = None;
        let mut inside = view.text.trim().len() < SHORTEST;
        for (number, topic) in self.here(surface) {
            let near = nearness(number);
            match topic.only {
                true => {
                    inside |= near >= topic.near;
                    outside = outside.max(Some(topic.action));
                }
                false if near >= topic.near => {
                    let name = self.names.get(number).cloned().unwrap_or_else(|| ELSEWHERE.into());
                    put(name, near, topic.action);
                }
                false => {}
            }
        }
        if let Some(action) = outside.filter(|_| !inside) {
            put(ELSEWHERE.into(), 1.0, action);
        }
    }

    /// Returns the vectors of the topics. The first call encodes the examples.
    fn places(&self, reader: &dyn SecondReader) -> Option<&Vec<Place>> {
        if let Some(known) = self.places.get() {
            return Some(known);
        }
        let read = |examples: &[String]| -> Option<Vec<Vector>> {
            examples.iter().map(|example| reader.read(example)).collect()
        };
        // A call without an answer does not prevent a later one.
        let made: Option<Vec<Place>> = (self.topics.iter())
            .map(|topic| Some(Place { like: read(&topic.examples)?, unlike: read(&topic.unlike)? }))
            .collect();
        let made = made?;
        Some(self.places.get_or_init(|| made))
    }
}

/// Returns the pieces of a text that are read.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let count = text.len().div_ceil(LETTERS).max(1);
    let step = count.div_ceil(MOST_PIECES).max(1);
    (0..count).step_by(step).filter_map(move |number| {
        let bound = |mut at: usize| {
            while at < text.len() && !text.is_char_boundary(at) {
                at += 1;
            }
            at.min(text.len())
        };
        text.get(bound(number * LETTERS)..bound((number + 1) * LETTERS))
            .filter(|piece| !piece.trim().is_empty())
    })
}

fn wrong(name: &str, what: &str) -> Error {
    Error::new(Code::Misconfigured).detail(format!("The topic `{name}` of the guard profile {what}."))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::{Engine, profile::Profile};
    use super::*;

    /// An encoder that knows three topics, each by one word.
    #[derive(Default)]
    struct Words {
        silent: AtomicBool,
    }

    impl SecondReader for Words {
        fn read(&self, text: &str) -> Option<Vector> {
            let mut vector = [0.0; DIMS];
            for (axis, word) in [(0, "pill"), (1, "invoice"), (2, "doctor")] {
                vector[axis] = text.matches(word).count() as f32;
            }
            vector[DIMS - 1] = 0.1;
            let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            (!self.silent.load(Ordering::Relaxed)).then(|| vector.map(|value| value / length))
        }

        fn look(&self, _: &str) -> Option<super::super::injection::Look> {
            None
        }
    }

    const MEDICINE: &str = "[[topic]]\nname = 'medicine'\nexamples = ['which pill helps']\n\
        unlike = ['the doctor sent an invoice for the pill']\naction = 'refuse'\nnear = 0.7\n";

    const MONEY: &str = "[[topic]]\nname = 'invoices'\nexamples = ['where is my invoice']\nonly = true\naction = 'warn'\nnear = 0.7\n";

    fn engine(text: &str) -> (Engine, Arc<Words>) {
        let words = Arc::new(Words::default());
        let engine = Engine::new(&Profile::parse(&format!("name = 'x'\n{text}")).unwrap()).unwrap();
        assert!(engine.wants_encoder());
        (engine.with_reader(words.clone()), words)
    }

    fn rules(engine: &Engine, text: &str) -> Vec<String> {
        engine.scan(text, Surface::User).findings.iter().map(|finding| finding.rule.to_string()).collect()
    }

    #[test]
    fn a_denied_topic_is_known_by_its_examples_and_not_by_those_of_its_neighbour() {
        let (engine, _) = engine(MEDICINE);
        assert_eq!(rules(&engine, "I want to know which pill I should take now"), ["medicine"]);
        assert!(engine.scan("which pill?", Surface::User).is_refusal());
        assert!(rules(&engine, "the doctor wrote an invoice about one pill").is_empty());
        assert!(rules(&engine, "what is the weather like in Lisbon today").is_empty());
        assert!(
            engine.scan("which pill?", Surface::ToolResult).findings.is_empty(),
            "only where it is looked for"
        );
        let long = format!("{} which pill {}", "a word ".repeat(60), "and more ".repeat(60));
        assert_eq!(rules(&engine, &long), ["medicine"], "in the middle of a text as well");
    }

    #[test]
    fn an_agent_with_allowed_topics_hears_of_nothing_else_but_small_talk() {
        let (engine, _) = engine(MONEY);
        assert!(rules(&engine, "please tell me about my invoice of March").is_empty());
        assert!(rules(&engine, "yes, the second one").is_empty());
        assert_eq!(rules(&engine, "tell me a long story about a dragon, please"), [ELSEWHERE]);
    }

    #[test]
    fn without_an_answer_of_the_encoder_it_is_refused_and_the_next_one_is_read_again() {
        let (engine, words) = engine(MEDICINE);
        words.silent.store(true, Ordering::Relaxed);
        assert_eq!(rules(&engine, "what is the weather like in Lisbon today"), [UNANSWERED]);
        words.silent.store(false, Ordering::Relaxed);
        assert!(rules(&engine, "what is the weather like in Lisbon today").is_empty());
        let alone = Engine::new(&Profile::parse(&format!("name = 'x'\n{MEDICINE}")).unwrap()).unwrap();
        assert!(alone.scan("hello there, my friend", Surface::User).is_refusal(), "no encoder at all");
        let (lenient, words) = self::engine(&MEDICINE.replace("near", "on_silence = 'first_verdict'\nnear"));
        words.silent.store(true, Ordering::Relaxed);
        assert!(rules(&lenient, "which pill?").is_empty());
    }

    #[test]
    fn a_topic_that_cannot_be_kept_is_an_error_at_start_that_names_it() {
        for (change, says) in [
            (("examples = ['which pill helps']", "examples = []"), "example"),
            (("'refuse'", "'mask'"), "masked"),
            (("near = 0.7", "near = 7"), "near"),
            (("near = 0.7", "surfaces = ['output']"), "output"),
        ] {
            let profile =
                Profile::parse(&format!("name = 'x'\n{}", MEDICINE.replace(change.0, change.1))).unwrap();
            let error = Engine::new(&profile).unwrap_err().to_string();
            assert!(error.contains("medicine") && error.contains(says), "{error}");
        }
    }
}
