//! Guardrails: detect what a text contains, and decide what to do about it.
//!
//! [`Engine::scan`] reads a text once, in time linear in its length for any input. It finds personal data, credentials,
//! instructions to the model, and unwanted content. A [`Finding`] holds the kind, the byte range and the rule, never
//! the value. [`Window`] does the same for a stream. It holds back at most 256 bytes, unless a block such as a private
//! key has begun, and its output is equal to the output of [`Engine::scan`] for the whole text. Patterns are rows of a
//! reviewed table (`patterns/*.toml`), which `docs/guardrail-types.md` lists.
//!
//! The engine does not decide alone. A [`Profile`] maps findings to an action (pass, mask, warn or refuse) for each
//! [`Surface`].
//!
//! This module has no clock, thread or encoder. A caller that must survive a fault of the engine runs it inside
//! `catch_unwind`, reports when the time is over ([`Engine::scan_until`]), and treats a panic or a missing verdict as
//! [`Engine::on_failure`] states: as a refusal, unless the profile sets another choice. A caller that has an encoder
//! passes it to [`Engine::with_reader`]; it is used for texts of which the classifier is unsure, and for topics.
//!
//! `control::Screen` calls it for every text that crosses a boundary: user text, tool arguments and results, documents,
//! memory, model output, cache hits, titles, and tool descriptions.

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

/// Returns the normalized text with the source range of each of its bytes. For fuzzing only.
#[doc(hidden)]
#[must_use]
pub fn fold_for_tests(text: &str) -> (String, Vec<(usize, usize)>) {
    let view = normalize::fold(text);
    let sources = (0..view.text.len()).map(|at| view.back(at, at + 1)).collect();
    (view.text.into_owned(), sources)
}

/// Returns what the injection classifier reads of a text. For the training script only.
///
/// # Errors
/// If the pattern tables do not compile.
#[doc(hidden)]
pub fn clues_for_training(text: &str, surface: Surface) -> crate::Result<detect::Clues> {
    Ok(detect::Detectors::shared()?.clues(text, surface))
}

/// Runs the guide's code examples as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/guide/guardrails.md")]
struct Guide;
