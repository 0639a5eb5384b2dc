//! Text to vector, and vectors to their nearest neighbours. Pure: no socket, no task, no clock.
//!
//! Promises: the same text and weights give the same vector, bit for bit, on every processor ([`Cpu`] only decides
//! how fast); an over-long text is cut and the result says so; vectors of different encoders carry different
//! [`Encoder::id`]s. Refuses: weight files whose parts do not fit together. Knows nothing about tenants or caches:
//! isolation is the caller's, who keeps one [`Partition`] for each.
//!
//! Used by `cardea-model`, which puts a queue and a cache before the encoder. The only crate with `unsafe`.
//!
//! ```
//! # #[cfg(feature = "bundled")] {
//! use cardea_embed::{Encoder, Partition};
//!
//! let encoder = Encoder::bundled()?;
//! let mut answers = Partition::new();
//! answers.insert(encoder.encode("How do I reset my password?").vector, "under Settings");
//! answers.insert(encoder.encode("When do you open on Sunday?").vector, "at ten");
//!
//! let asked = encoder.encode("I forgot my password, how can I reset it?");
//! let best = answers.nearest(&asked.vector, 1);
//! assert_eq!(best.first().map(|hit| *hit.item), Some("under Settings"));
//! # }
//! # Ok::<(), cardea_embed::BadWeights>(())
//! ```

mod cpu;
mod encoder;
mod forward;
mod kernel;
mod math;
mod partition;
mod pieces;
#[cfg(test)]
mod small;
#[cfg(test)]
mod small_file;
mod table;
mod vector;
mod weights;
mod wordpiece;

pub use cpu::{Cpu, Level};
pub use encoder::{Encoder, Encoding};
pub use partition::{Neighbour, Partition};
pub use pieces::{Pieces, Rarity};
pub use table::Table;
pub use vector::{DIMS, Vector};
pub use weights::BadWeights;
