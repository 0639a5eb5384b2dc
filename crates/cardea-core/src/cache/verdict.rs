//! The decision: which of the nearest entries, if any, may answer.

use super::{
    slots::{Reading, Veto, opposed, reordered, turned, veto},
    weights,
};

/// How the decision is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// The cosine alone must reach the threshold. Slots must agree unless `veto` is off.
    Strict {
        /// The least cosine, usually 0.90 to 0.95.
        threshold: f32,
        /// Whether differing slots refuse a hit.
        veto: bool,
    },
    /// The score, which was learned from pairs, must reach the threshold, and the slots must agree.
    Scored {
        /// The least score: about the share of such pairs that mean the same.
        threshold: f32,
        /// The least cosine that is looked at.
        floor: f32,
    },
}

impl Default for Mode {
    fn default() -> Self {
        Self::Scored { threshold: weights::THRESHOLD, floor: weights::FLOOR }
    }
}

impl Mode {
    /// The documented behaviour of other caches, made safe by the slots.
    pub const STRICT: Self = Self::Strict { threshold: 0.92, veto: true };
}

/// A near entry of the same partition.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The question it answered.
    pub text: &'a str,
    /// Its cosine with the asked text.
    pub cosine: f32,
    /// Which answer it has: entries with equal numbers give the same answer.
    pub answer: u64,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// This candidate may answer.
    Hit {
        /// Its place in the slice.
        index: usize,
        /// Its score (the cosine in strict mode).
        score: f32,
    },
    /// None may.
    Miss(Miss),
}

/// Why the best candidate may not answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Miss {
    /// There is none.
    Nothing,
    /// The nearest is too far away, or its score too low; the number says by which value.
    TooFar(f32),
    /// It was near enough, but a slot differs.
    Vetoed(Veto),
}

/// How many numbers describe a pair.
pub const FEATURES: usize = 14;

/// The numbers from which the score of a pair is made; all but the first are string work.
#[must_use]
pub fn features(a: &Reading, b: &Reading, cosine: f32) -> [f32; FEATURES] {
    let set =
        |reading: &Reading| reading.content().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    let (ours, theirs) = (set(a), set(b));
    let shared = ours.intersection(&theirs).count() as f32;
    let all = ours.union(&theirs).count().max(1) as f32;
    let least = ours.len().min(theirs.len()).max(1) as f32;
    let most = ours.len().max(theirs.len()).max(1) as f32;
    let missing = (all - shared).min(6.0);
    let alone = |one: usize| if one == 1 { 1.0 } else { 0.0 };
    let replaced = alone(ours.difference(&theirs).count()) * alone(theirs.difference(&ours).count());
    let flag = |fact: bool| if fact { 1.0 } else { 0.0 };
    let names = a.foreign_names(b) + b.foreign_names(a);
    [
        cosine,
        (cosine - 0.85).max(0.0),
        shared / all,
        shared / least,
        least / most,
        missing,
        replaced,
        replaced * cosine,
        flag(a.numbers() != b.numbers()),
        flag(a.negations() % 2 != b.negations() % 2),
        flag(opposed(a, b)),
        flag(turned(a, b) || reordered(a, b)),
        (names as f32).min(3.0),
        flag(ours == theirs),
    ]
}

/// How sure it is, from 0 to 1, that two texts want the same answer, as far as pairs of the training set tell.
#[must_use]
pub fn score(features: &[f32; FEATURES]) -> f32 {
    let sum: f32 = features.iter().zip(weights::WEIGHTS).map(|(value, weight)| value * weight).sum();
    1.0 / (1.0 + (-(sum + weights::BIAS)).exp())
}

/// Decides about the nearest entries of one partition, nearest first.
///
/// In the scored mode each candidate is judged by itself and the best score wins. Equal scores: the nearer one.
#[must_use]
pub fn judge(asked: &str, candidates: &[Candidate<'_>], mode: Mode) -> Verdict {
    let question = Reading::new(asked);
    let mut best: Option<(usize, f32)> = None;
    let mut why = Miss::Nothing;
    for (index, candidate) in candidates.iter().enumerate() {
        match weigh(&question, candidate, mode) {
            Ok(score) if best.is_none_or(|(_, before)| score > before) => best = Some((index, score)),
            Ok(_) => {}
            // The reason of the nearest candidate is the one that is told.
            Err(miss) if index == 0 => why = miss,
            Err(_) => {}
        }
    }
    best.map_or(Verdict::Miss(why), |(index, score)| Verdict::Hit { index, score })
}

fn weigh(question: &Reading, candidate: &Candidate<'_>, mode: Mode) -> Result<f32, Miss> {
    let (floor, checked) = match mode {
        Mode::Strict { threshold, veto } => (threshold, veto),
        Mode::Scored { floor, .. } => (floor, true),
    };
    // Written so that a cosine that is not a number is too far away.
    if !candidate.cosine.ge(&floor) {
        return Err(Miss::TooFar(candidate.cosine));
    }
    let entry = Reading::new(candidate.text);
    if checked && let Some(veto) = veto(question, &entry) {
        return Err(Miss::Vetoed(veto));
    }
    let Mode::Scored { threshold, .. } = mode else { return Ok(candidate.cosine) };
    let score = score(&features(question, &entry, candidate.cosine));
    if score >= threshold { Ok(score) } else { Err(Miss::TooFar(score)) }
}

/// True if two answers say the same, so that their entries may form one group: equal text, or equal numbers,
/// names and quotations and a cosine of at least 0.95.
#[must_use]
pub fn same_answer(a: &str, b: &str, cosine: f32) -> bool {
    a.trim() == b.trim() || (cosine >= 0.95 && veto(&Reading::new(a), &Reading::new(b)).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_text_about_another_thing_is_never_served() {
        for mode in [Mode::default(), Mode::STRICT] {
            let near = [Candidate { text: "Where is order 12346?", cosine: 0.99, answer: 1 }];
            assert_eq!(
                judge("Where is order 12345?", &near, mode),
                Verdict::Miss(Miss::Vetoed(Veto::Number))
            );
            assert_eq!(judge("Where is order 12345?", &[], mode), Verdict::Miss(Miss::Nothing));
            let broken = [Candidate { text: "Where is order 12345?", cosine: f32::NAN, answer: 1 }];
            assert!(matches!(judge("Where is order 12345?", &broken, mode), Verdict::Miss(Miss::TooFar(_))));
        }
    }

    #[test]
    fn the_next_candidate_may_answer_when_the_nearest_is_vetoed() {
        let near = [
            Candidate { text: "how do I disable roaming", cosine: 0.97, answer: 1 },
            Candidate { text: "how can I enable roaming", cosine: 0.96, answer: 2 },
        ];
        let verdict = judge("how do I enable roaming", &near, Mode::default());
        assert!(matches!(verdict, Verdict::Hit { index: 1, .. }), "{verdict:?}");
    }

    #[test]
    fn answers_with_other_facts_are_not_the_same() {
        assert!(same_answer("We open at 9.", " We open at 9. ", 0.0));
        assert!(!same_answer("We open at 9.", "We open at 10.", 0.99));
        assert!(same_answer("We open at 9.", "We are open from 9", 0.96));
    }
}
