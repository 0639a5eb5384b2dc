//! Decides when an earlier answer may be given again. Pure: `context/cache` keeps the entries and asks here.
//!
//! Promises: an answer belongs to one [`Partition`], the digest of everything that could change it, so entries of
//! another tenant, user, agent or tool set cannot be found at all. A text that differs in a number, name, date,
//! negation, opposite or direction is never a semantic hit. A plain distance threshold is available
//! ([`Mode::Strict`]), and even then the slots must agree. Refuses: to cache what [`never()`] names. Used by
//! `context/cache`, by tests and by the programs in `evals`.
//!
//! ```
//! use cardea_core::cache::{Candidate, Mode, Question, Verdict, crowd, judge};
//!
//! // The caller looked up the nearest entries of the very same partition; cosines come from the encoder. Nothing
//! // else is known of this partition, so its crowd is taken to be the usual one.
//! let usual = crowd(&[], 0);
//! let candidates = [
//!     Candidate { text: "Where is order 12346?", cosine: 0.97, crowd: usual },
//!     Candidate { text: "where is order 12345", cosine: 0.96, crowd: usual },
//! ];
//! let asked = Question { text: "Where is my order 12345?", crowd: usual };
//! let verdict = judge(asked, &candidates, Mode::default());
//! assert!(matches!(verdict, Verdict::Hit { index: 1, .. }), "the other order is vetoed: {verdict:?}");
//! ```

mod abroad;
mod alike;
mod alone;
mod budget;
mod differ;
mod grammar;
mod key;
mod lexicon;
mod manner;
mod negation;
mod never;
mod order;
mod pairing;
mod reading;
mod relations;
mod sign;
mod slots;
mod tongue;
mod verdict;
mod weights;
mod word;

pub use alone::stands_alone;
pub use budget::{Budget, Checked, upper_bound};
pub use key::{Circumstances, ExactKey, Owner, Partition, normalise};
pub use never::{Audience, Finished, Never, never};
pub use reading::Reading;
pub use slots::{Veto, veto};
pub use verdict::{
    Candidate, FEATURES, Miss, Mode, Question, SAMPLE, Verdict, crowd, features, judge, score, standing,
};
