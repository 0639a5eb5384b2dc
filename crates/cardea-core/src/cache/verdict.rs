//! The decision which of the nearest entries, if any, may answer.

use super::{
    reading::Reading,
    slots::{Veto, opposed, reordered, turned, veto},
    weights,
};

/// Mode of the decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// The cosine alone must reach the threshold. Slots must agree unless `veto` is off.
    Strict {
        /// Required cosine, usually 0.90 to 0.95.
        threshold: f32,
        /// Whether differing slots prevent a hit.
        veto: bool,
    },
    /// The learned score must reach the threshold, and the slots must agree.
    Scored {
        /// Required score, from 0 to 1.
        threshold: f32,
        /// Smallest cosine that is considered.
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

/// Number of entries of a partition from which the crowd of a place is computed; see [`crowd`].
pub const SAMPLE: usize = 256;

/// A question to be answered.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The text.
    pub text: &'a str,
    /// [`crowd`] of its place.
    pub crowd: f32,
}

/// A similar entry of the same partition.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The question it answered.
    pub text: &'a str,
    /// Its cosine with the question.
    pub cosine: f32,
    /// [`crowd`] of its own place.
    pub crowd: f32,
}

/// Returns how densely the surroundings of a text are occupied: the mean of the nearest twentieth (at least five) of
/// its cosines with up to [`SAMPLE`] other entries of its partition, raised slightly with the number of `entries`.
///
/// Where all questions are about a few things, different questions are similar as well, so a cosine means less; and
/// the more entries there are, the more of them are similar by chance. Few entries say little: the mean starts at the
/// usual value, so `crowd(&[], 0)` is for callers without entries.
#[must_use]
pub fn crowd(cosines: &[f32], entries: usize) -> f32 {
    let mut near: Vec<f32> = cosines.iter().copied().filter(|cosine| cosine.is_finite()).collect();
    near.sort_by(|a, b| b.total_cmp(a));
    near.truncate(CROWD_LEAST.max((near.len() + 10) / 20));
    let mean = (near.iter().sum::<f32>() + CROWD_DOUBT * CROWD_USUAL) / (near.len() as f32 + CROWD_DOUBT);
    let entries = entries as f32;
    let told = (entries / CROWD_FEW).min(1.0);
    mean + told * CROWD_GROWTH * (entries.max(CROWD_FEW) / CROWD_MANY).ln()
}

/// Least number of entries of the sample that are considered.
const CROWD_LEAST: usize = 5;
/// The usual crowd, and the number of entries that it counts for.
const CROWD_USUAL: f32 = 0.62;
const CROWD_DOUBT: f32 = 3.0;
/// Increase per e-fold of entries; the number of entries at which it is zero; the number below which it fades.
const CROWD_GROWTH: f32 = 0.025;
const CROWD_MANY: f32 = 500.0;
const CROWD_FEW: f32 = 150.0;

/// Result of the decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// This candidate may answer.
    Hit {
        /// Its index.
        index: usize,
        /// Its score (the cosine in strict mode).
        score: f32,
    },
    /// No candidate may answer.
    Miss(Miss),
}

/// Reason why the best candidate may not answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Miss {
    /// There is none.
    Nothing,
    /// The nearest is too far away, or its score too low; the number is that cosine or score.
    TooFar(f32),
    /// It was similar enough, but a slot differs.
    Vetoed(Veto),
}

/// Number of features of a pair.
pub const FEATURES: usize = weights::WEIGHTS.len();

/// Returns the features of a pair, from which its score is computed; all but the first are string work.
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

/// Returns how much closer two texts are than their surroundings, from 0 to 1: the cosine against the mean of both
/// crowds. The cosine of longer texts (mean count of words) is more reliable.
#[must_use]
pub fn standing(cosine: f32, crowds: [f32; 2], words: f32) -> f32 {
    let crowd = crowds.iter().sum::<f32>() / 2.0;
    let lead = cosine - weights::CROWD * crowd + weights::LENGTH * words.max(1.0).ln();
    logistic(weights::STEEP * (lead - weights::LEVEL))
}

fn logistic(at: f32) -> f32 {
    1.0 / (1.0 + (-at).exp())
}

/// Returns the probability, from 0 to 1, that two texts want the same answer, as learned from the training set.
#[must_use]
pub fn score(features: &[f32; FEATURES]) -> f32 {
    let sum: f32 = features.iter().zip(weights::WEIGHTS).map(|(value, weight)| value * weight).sum();
    logistic(sum + weights::BIAS)
}

/// Decides about the nearest entries of one partition, nearest first.
///
/// In the scored mode each candidate is judged on its own and the best score wins; of equal scores the nearer one. A
/// score has two halves, one from the words and one from how the texts stand among others; the lower one counts.
#[must_use]
pub fn judge(asked: Question<'_>, candidates: &[Candidate<'_>], mode: Mode) -> Verdict {
    let question = Reading::new(asked.text);
    let mut best: Option<(usize, f32)> = None;
    let mut why = Miss::Nothing;
    for (index, candidate) in candidates.iter().enumerate() {
        match weigh(&question, asked.crowd, candidate, mode) {
            Ok(score) if best.is_none_or(|(_, before)| score > before) => best = Some((index, score)),
            Ok(_) => {}
            // The reason of the nearest candidate is reported.
            Err(miss) if index == 0 => why = miss,
            Err(_) => {}
        }
    }
    best.map_or(Verdict::Miss(why), |(index, score)| Verdict::Hit { index, score })
}

fn weigh(question: &Reading, crowd: f32, candidate: &Candidate<'_>, mode: Mode) -> Result<f32, Miss> {
    let (floor, checked) = match mode {
        Mode::Strict { threshold, veto } => (threshold, veto),
        Mode::Scored { floor, .. } => (floor, true),
    };
    // Written so that a cosine of NaN counts as too far away.
    if !candidate.cosine.ge(&floor) {
        return Err(Miss::TooFar(candidate.cosine));
    }
    let entry = Reading::new(candidate.text);
    if checked && let Some(veto) = veto(question, &entry) {
        return Err(Miss::Vetoed(veto));
    }
    let Mode::Scored { threshold, .. } = mode else { return Ok(candidate.cosine) };
    let words = (question.words().count() + entry.words().count()) as f32 / 2.0;
    let standing = standing(candidate.cosine, [crowd, candidate.crowd], words);
    let score = standing.min(score(&features(question, &entry, candidate.cosine)));
    if score >= threshold { Ok(score) } else { Err(Miss::TooFar(score)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<'a>(text: &'a str, near: &[(&'a str, f32)], mode: Mode) -> Verdict {
        let near: Vec<Candidate<'_>> = near
            .iter()
            .map(|(text, cosine)| Candidate { text, cosine: *cosine, crowd: crowd(&[], 0) })
            .collect();
        judge(Question { text, crowd: crowd(&[], 0) }, &near, mode)
    }

    #[test]
    fn a_near_text_about_another_thing_is_never_served() {
        for mode in [Mode::default(), Mode::STRICT] {
            let verdict = asked("Where is order 12345?", &[("Where is order 12346?", 0.99)], mode);
            assert_eq!(verdict, Verdict::Miss(Miss::Vetoed(Veto::Number)));
            assert_eq!(asked("Where is order 12345?", &[], mode), Verdict::Miss(Miss::Nothing));
            let broken = asked("Where is order 12345?", &[("Where is order 12345?", f32::NAN)], mode);
            assert!(matches!(broken, Verdict::Miss(Miss::TooFar(_))));
        }
    }

    #[test]
    fn a_cosine_means_less_where_the_place_is_crowded() {
        let texts = ["how can I top up my card", "how do I top up my card"];
        let judged = |near: f32| {
            let crowd = crowd(&[near; SAMPLE], 500);
            let entry = [Candidate { text: texts[1], cosine: 0.88, crowd }];
            judge(Question { text: texts[0], crowd }, &entry, Mode::default())
        };
        assert!(matches!(judged(0.6), Verdict::Hit { .. }), "{:?}", judged(0.6));
        assert!(matches!(judged(0.8), Verdict::Miss(Miss::TooFar(_))));
    }

    #[test]
    fn the_next_candidate_may_answer_when_the_nearest_is_vetoed() {
        let near = [("how do I disable roaming", 0.97), ("how can I enable roaming", 0.96)];
        let verdict = asked("how do I enable roaming", &near, Mode::default());
        assert!(matches!(verdict, Verdict::Hit { index: 1, .. }), "{verdict:?}");
    }

    #[test]
    fn a_crowd_is_the_mean_of_the_nearest_and_begins_at_the_usual() {
        let usual = crowd(&[], 0);
        assert!((crowd(&[f32::NAN], 0) - usual).abs() < 1e-6);
        assert!(crowd(&[0.9], 1) > usual && crowd(&[0.9], 1) < crowd(&[0.9; 5], 5), "few entries say little");
        let (mut few, mut many) = (vec![0.1; 195], vec![0.1; 185]);
        few.extend([0.8; 5]);
        many.extend([0.8; 15]);
        assert!(crowd(&few, 200) < crowd(&many, 200), "of 200 the nearest ten count");
        assert!((crowd(&[0.3; 250], 500) - (13.0 * 0.3 + 3.0 * usual) / 16.0).abs() < 1e-6);
        assert!(crowd(&[0.3; 250], 5000) > crowd(&[0.3; 250], 500), "more entries, more chance neighbours");
    }
}
