//! Language models behind one trait.
//!
//! [`Models`] is the handle that other rooms hold. It knows the configured names, sends a [`Prompt`] to the provider
//! behind a name, and tries the next one when a provider is unavailable. Promises:
//!
//! - every wait has an end: connecting, the first piece, the pause between pieces, the whole answer;
//! - nothing is tried again once the first piece of an answer has been handed out;
//! - a stream that ends without [`End`](cardea_core::message::ModelEvent::End) is not a complete answer: it ends in an
//!   error instead;
//! - everything a provider sends is bounded and checked. Invalid data is an error, never an empty answer. An answer
//!   without a word, a refusal or a call is invalid too, unless a `stop` of the prompt may have ended it, or tool
//!   results came last.
//!
//! It refuses unknown names, and knows nothing of conversations, tools' results or users. Called by `flow`.
//! [`Rehearsal`] is a model of its own: offline, deterministic, and honest about not being one.

mod alias;
mod config;
pub mod embedder;
mod failure;
mod provider;
mod rehearsal;
mod route;
mod stream;
mod tries;
mod wire;

use cardea_core::{Result, message::Prompt};
use futures::future::BoxFuture;

pub use alias::{AliasConfig, Omitted};
pub use config::{BadModels, LimitName, ModelsConfig, ProviderConfig, ProviderKind, Timeouts};
pub use failure::trouble_of;
pub use rehearsal::Rehearsal;
pub use route::Models;
pub use stream::{ModelStream, Served};
pub use tries::{Tried, Tries, Trying};

/// A model that answers prompts.
///
/// The contract, which one test checks for all implementations:
///
/// - the future ends when the first piece of the answer is available, or with an error and nothing handed out;
/// - the stream ends with exactly one [`End`](cardea_core::message::ModelEvent::End), or with exactly one `Err`;
///   nothing follows either;
/// - a tool call is complete, with an id that no other call of the transcript carries;
/// - dropping the future or the stream stops the work behind it.
pub trait Model: Send + Sync {
    /// Returns the next answer to this transcript.
    fn next(&self, prompt: Prompt) -> BoxFuture<'_, Result<ModelStream>>;

    /// Answers in place of a model that is unavailable. A model that must not act for another one answers with text
    /// only.
    fn stand_in(&self, prompt: Prompt) -> BoxFuture<'_, Result<ModelStream>> {
        self.next(prompt)
    }
}
