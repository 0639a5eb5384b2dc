//! Crash points: places at which a test may kill the process, as a power cut would, or inject an error.
//!
//! A test starts the program with `CRASH_AT=NAME` or `NAME:3`; the process then ends without any clean-up when it
//! reaches that place for the first, or the third, time. With `FAIL_AT=NAME:7` one pass in seven is an error. Without
//! the feature `crash-points`, which only tests enable, all of this is empty.

/// All crash points, in the order of one request's commit. A test crashes at each.
pub const POINTS: &[&str] = &[
    "commit.asked",      // the caller has requested a commit; nothing else knows of it
    "commit.filled",     // the statements have run; nothing is durable yet
    "commit.unanswered", // it is durable; the caller has not been told
    "commit.answered",   // the caller's task has been told
    "effect.ready",      // the intent is durable; the effect has not begun
    "effect.happened",   // the effect has happened; its outcome is not durable
    "undo.ready",        // the intent to undo an effect is durable; nothing has been undone
    "undo.happened",     // the effect is undone; that is not durable
];

/// Ends the process here, if a test requests it.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub const fn point(_name: &'static str) {}

/// Ends the process here, if a test requests it.
#[cfg(feature = "crash-points")]
pub fn point(name: &'static str) {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };
    static AT: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let wanted = AT.get_or_init(|| {
        let text = std::env::var("CRASH_AT").ok()?;
        let (name, count) = text.split_once(':').map_or((text.as_str(), "1"), |(name, count)| (name, count));
        Some((name.to_owned(), count.parse().ok()?))
    });
    let Some((place, count)) = wanted else { return };
    if place == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *count {
        std::process::abort();
    }
}

/// Returns whether a test requests an error here. Only places of a commit ask.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub(crate) const fn fails(_name: &'static str) -> bool {
    false
}

/// Returns whether a test requests an error here. Only places of a commit ask.
#[cfg(feature = "crash-points")]
pub(crate) fn fails(name: &'static str) -> bool {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };
    static AT: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let wanted = AT.get_or_init(|| {
        let text = std::env::var("FAIL_AT").ok()?;
        let (name, every) = text.split_once(':')?;
        Some((name.to_owned(), every.parse().ok()?))
    });
    let Some((place, every)) = wanted else { return false };
    place == name && scattered(PASSED.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(*every)
}

/// Returns a pseudo-random number for a count: the mixing of SplitMix64 (Steele, Lea, Flood, 2014).
///
/// WHY not the count itself: periodic commits, such as those of the upkeep and of a turn that is tried again every ten
/// seconds, fall into step with it, and then the same commit of that turn would fail for ever.
#[cfg(feature = "crash-points")]
const fn scattered(count: u64) -> u64 {
    let mixed = count.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
