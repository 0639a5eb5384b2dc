//! Guardrails: what a text contains, and what to do about it.
//!
//! Promises: [`Engine::scan`] reads a text once, in time linear in its length whatever the text is, and says which
//! personal data, credentials, orders to the model and unwanted words stand where. Findings carry type, place and rule,
//! never the value. [`Window`] does the same for a stream: it holds back at most 256 bytes, unless a block such as a
//! private key has begun, and the text that leaves it is the text that [`Engine::scan`] would have given for the whole.
//! Patterns are rows of a reviewed table (`patterns/*.toml`), printed in `docs/guardrail-types.md`.
//!
//! Refuses: to decide alone. A [`Profile`] says which finding means pass, mask, warn or refuse on which [`Surface`].
//! The room has no clock, starts no thread and has no encoder. A caller that wants to be safe from its own faults runs
//! it inside `catch_unwind`, tells it when it is late ([`Engine::scan_until`]), and treats a panic or a miss as
//! [`Engine::on_failure`] says: a refusal, unless the profile wrote another choice. A caller that has an encoder lends
//! it ([`Engine::with_reader`]) for what the classifier is unsure of, and for topics.
//!
//! Called by `control::screen` at every crossing: user text, tool arguments and results, documents, memory, model
//! output, cache hits, titles, tool descriptions.

mod automaton;
mod before;
mod begins;
mod blocks;
mod bounds;
mod broken;
mod bytes;
mod catalogue;
mod check;
mod choice;
mod columns;
mod compiled;
mod content;
mod decode;
mod detect;
mod emphasis;
mod engine;
mod given;
mod headers;
mod injection;
mod label;
mod leak;
mod linked;
mod matcher;
mod needs;
mod normalize;
mod pattern;
mod phrase;
mod placeholder;
mod profile;
pub mod report;
mod runs;
#[cfg(test)]
mod samples;
mod scan;
mod seen;
mod shown;
mod sieve;
mod stretch;
mod table;
mod tokens;
mod topic;
mod tried;
mod value;
mod verdict;
mod window;
mod words;

pub use engine::Engine;
pub use injection::{DIMS, LAYERS, Look, SecondReader};
pub use placeholder::{Masks, Originals, Placeholders};
pub use profile::{Allow, Deny, OnFailure, OnSilence, Profile, Rule, SecondLook, Topic};
pub use verdict::{Action, Family, Finding, Surface, Taint, ValueVerdict, Verdict};
pub use window::{Finished, Window};

/// A folded text with the source range of each of its bytes: for fuzzing the folder from outside, nothing else.
#[doc(hidden)]
#[must_use]
pub fn fold_for_tests(text: &str) -> (String, Vec<(usize, usize)>) {
    let view = normalize::fold(text);
    let sources = (0..view.text.len()).map(|at| view.back(at, at + 1)).collect();
    (view.text.into_owned(), sources)
}

/// What the injection classifier reads of a text: for the script that trains it, nothing else.
///
/// # Errors
/// If the pattern tables do not compile.
#[doc(hidden)]
pub fn clues_for_training(text: &str, surface: Surface) -> crate::Result<detect::Clues> {
    Ok(detect::Detectors::shared()?.clues(text, surface))
}

/// The guide's snippets run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/guide/guardrails.md")]
struct Guide;
