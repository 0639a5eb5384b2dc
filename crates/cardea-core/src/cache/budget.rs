//! The error budget: a confidence bound on the share of wrong semantic hits, and the threshold that follows from it.
//!
//! A share of the hits is generated again in the background and compared. From these checks a bound is computed that
//! the true share of wrong hits exceeds only with the stated probability. Above the budget the threshold is tightened
//! at once. Well below it the threshold is relaxed, by one small step after fifty clean checks, in the end slightly
//! beyond the default.
//!
//! The cache holds one [`Budget`] per scope. It calls `looked_up` for every semantic lookup and `checked` for every
//! comparison, and `mode` returns the mode of the next lookup.

use serde::{Deserialize, Serialize};

use super::verdict::Mode;

/// Result of comparing a cached answer with a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// Both answers say the same.
    Right,
    /// The cached answer was wrong.
    Wrong,
}

/// Clean checks in a row before the threshold is relaxed by one step.
const PATIENCE: u32 = 50;
/// Number of checks remembered. Beyond it all counts are halved, so that drift is noticed and old luck fades.
const MEMORY: f64 = 600.0;
/// Number of checks below which the bound is not used, since it says nothing.
const LEAST: f64 = 30.0;
/// Change of the setting by one error, and by one relaxation.
const STEP: f32 = 0.10;
const BACK: f32 = 0.02;
/// Distance of the loosest setting from the default: a share of the score, and a difference of the cosine.
const SLACK_SCORE: f32 = 0.25;
const SLACK_COSINE: f32 = 0.04;

/// The state of one scope. Small enough to be kept for each scope, and across restarts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    share: f64,
    lookups: f64,
    hits: f64,
    checks: f64,
    errors: f64,
    clean: u32,
    strain: f32,
}

impl Budget {
    /// Creates a budget from the largest acceptable share of wrongly answered lookups, such as 0.01.
    #[must_use]
    pub fn new(share: f64) -> Self {
        let share = if share.is_finite() { share.clamp(0.0001, 0.5) } else { 0.01 };
        Self { share, lookups: 0.0, hits: 0.0, checks: 0.0, errors: 0.0, clean: 0, strain: 0.0 }
    }

    /// Returns the same history under another budget.
    #[must_use]
    pub fn for_share(self, share: f64) -> Self {
        Self { share: Self::new(share).share, ..self }
    }

    /// Counts one semantic lookup.
    pub fn looked_up(&mut self, hit: bool) {
        self.lookups += 1.0;
        self.hits += f64::from(u8::from(hit));
        if self.lookups > 20_000.0 {
            self.lookups /= 2.0;
            self.hits /= 2.0;
        }
    }

    /// Counts one check of a cached answer.
    pub fn checked(&mut self, checked: Checked) {
        self.checks += 1.0;
        match checked {
            Checked::Right => self.clean += 1,
            Checked::Wrong => {
                self.errors += 1.0;
                self.clean = 0;
            }
        }
        if self.checks > MEMORY {
            self.checks /= 2.0;
            self.errors /= 2.0;
        }
        let over = self.bound() > self.share;
        if checked == Checked::Wrong && (over || self.checks < LEAST) {
            self.strain = (self.strain.max(0.0) + STEP).min(1.0);
        } else if over && self.checks >= LEAST && self.estimate() > self.share {
            self.strain = (self.strain + BACK).min(1.0);
        } else if self.clean >= PATIENCE && self.estimate() < self.share / 2.0 {
            self.clean = 0;
            // The default is exceeded only on proof.
            let least = if self.bound() < self.share / 2.0 { -1.0 } else { self.strain.min(0.0) };
            self.strain = (self.strain - BACK).max(least);
        }
    }

    /// Returns the share of lookups that were answered wrongly, estimated from the checks.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        if self.checks > 0.0 { self.errors / self.checks * self.hit_share() } else { 0.0 }
    }

    /// Returns the upper bound of that share, with 95 % confidence.
    #[must_use]
    pub fn bound(&self) -> f64 {
        upper_bound(self.errors, self.checks, 0.05) * self.hit_share()
    }

    /// Returns the strictness, from -1 (loosest) through 0 (as measured before release) to 1 (exact hits only).
    #[must_use]
    pub const fn strain(&self) -> f32 {
        self.strain
    }

    /// Returns the mode at this strictness. It is tighter than `usual` if the strictness is above 0. It is looser only
    /// in the scored mode, since the threshold of the strict mode was set by the operator.
    #[must_use]
    pub fn mode(&self, usual: Mode) -> Mode {
        let tight = |from: f32| {
            if self.strain >= 1.0 { f32::INFINITY } else { from + (1.0 - from) * self.strain.max(0.0) }
        };
        let slack = (-self.strain).max(0.0);
        match usual {
            Mode::Strict { threshold, veto } => Mode::Strict { threshold: tight(threshold), veto },
            Mode::Scored { threshold, floor } => Mode::Scored {
                threshold: tight(threshold) * (1.0 - SLACK_SCORE * slack),
                floor: tight(floor) - SLACK_COSINE * slack,
            },
        }
    }

    fn hit_share(&self) -> f64 {
        if self.lookups > 0.0 { self.hits / self.lookups } else { 1.0 }
    }
}

/// Returns the one-sided Clopper–Pearson bound: the share at which at most `errors` in `checks` trials have the
/// probability `doubt`. Fractional counts are rounded to the safe side.
#[must_use]
pub fn upper_bound(errors: f64, checks: f64, doubt: f64) -> f64 {
    let (errors, checks) = (errors.max(0.0).ceil(), checks.max(0.0).floor());
    if errors >= checks {
        return 1.0;
    }
    let (mut low, mut high) = (errors / checks, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if at_most(errors, checks, middle) > doubt { low = middle } else { high = middle }
    }
    high
}

/// Returns the probability of at most `errors` in `checks` trials of the given share, term by term.
fn at_most(errors: f64, checks: f64, share: f64) -> f64 {
    let mut log = checks * (1.0 - share).ln();
    let mut total = log.exp();
    let mut count = 0.0;
    while count < errors {
        log += ((checks - count) / (count + 1.0)).ln() + (share / (1.0 - share)).ln();
        total += log.exp();
        count += 1.0;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_exact_one() {
        // Without an error in n trials: 1 - 0.05^(1/n).
        for n in [10.0, 100.0, 300.0] {
            let exact = 1.0 - 0.05_f64.powf(1.0 / n);
            assert!((upper_bound(0.0, n, 0.05) - exact).abs() < 1e-9, "{n}");
        }
        // Tail values of the binomial distribution, from a table.
        assert!((upper_bound(1.0, 10.0, 0.05) - 0.394_163).abs() < 1e-5);
        assert!((upper_bound(5.0, 50.0, 0.05) - 0.199_1).abs() < 1e-3);
        assert!((upper_bound(0.0, 0.0, 0.05) - 1.0).abs() < 1e-12);
        assert!((upper_bound(3.0, 3.0, 0.05) - 1.0).abs() < 1e-12);
    }

    /// Returns the required score if the default is 0.8.
    fn asked_for(budget: &Budget) -> f32 {
        match budget.mode(Mode::Scored { threshold: 0.8, floor: 0.8 }) {
            Mode::Scored { threshold, .. } => threshold,
            Mode::Strict { .. } => panic!("the kind of decision stays"),
        }
    }

    #[test]
    fn errors_tighten_and_only_patience_relaxes() {
        let mut budget = Budget::new(0.01);
        (0..1000).for_each(|n| budget.looked_up(n % 2 == 0));
        assert!((asked_for(&budget) - 0.8).abs() < 1e-6);
        budget.checked(Checked::Wrong);
        let tight = asked_for(&budget);
        assert!(tight > 0.8);
        (0..PATIENCE - 1).for_each(|_| budget.checked(Checked::Right));
        assert!(asked_for(&budget) >= tight, "not yet");
        (0..2000).for_each(|_| budget.checked(Checked::Right));
        assert!(asked_for(&budget) < tight);
        assert!(budget.bound() < 0.01, "{}", budget.bound());
        (0..60).for_each(|_| budget.checked(Checked::Wrong));
        assert!(asked_for(&budget).is_infinite(), "a scope that keeps failing is closed");
    }

    #[test]
    fn only_proof_relaxes_beyond_the_usual_and_never_a_strict_threshold() {
        let mut budget = Budget::new(0.01);
        (0..1000).for_each(|n| budget.looked_up(n % 2 == 0));
        (0..200).for_each(|_| budget.checked(Checked::Right));
        assert!((asked_for(&budget) - 0.8).abs() < 1e-6, "200 clean checks of half the lookups prove 0.75 %");
        (0..20_000).for_each(|_| budget.checked(Checked::Right));
        assert!((asked_for(&budget) - 0.6).abs() < 0.01, "{}", asked_for(&budget));
        assert_eq!(budget.mode(Mode::STRICT), Mode::STRICT);
        budget.checked(Checked::Wrong);
        assert!((asked_for(&budget) - 0.6).abs() < 0.01, "one in thousands is within the budget");
        (0..30).for_each(|_| budget.checked(Checked::Wrong));
        assert!(asked_for(&budget) > 0.8);
        assert_ne!(budget.mode(Mode::STRICT), Mode::STRICT);
        let kept: Budget = serde_json::from_str(&serde_json::to_string(&budget).unwrap()).unwrap();
        assert_eq!(kept, budget, "it survives a restart");
    }

    /// Simulates a deployment whose traffic gets worse half way: each strictness has its share of wrong hits.
    fn deployment(seed: u64) -> (f64, f32) {
        let mut state = seed.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(3_037_000_493);
        let mut chance = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut budget = Budget::new(0.01);
        let (first, later) = (0.02 * chance(), 0.06 * chance());
        let (mut wrong, lookups) = (0_u32, 60_000_u32);
        for at in 0..lookups {
            // Fewer hits and fewer wrong ones with strictness; a looser setting has more of both.
            let strain = f64::from(budget.strain());
            let hit = chance() < (0.35 * (1.0 - strain)).min(0.6);
            budget.looked_up(hit);
            let share = (if at < lookups / 2 { first } else { later }) * (1.0 - strain).powi(2);
            let bad = hit && chance() < share;
            wrong += u32::from(bad);
            if hit && chance() < 0.02 {
                budget.checked(if bad { Checked::Wrong } else { Checked::Right });
            }
        }
        (f64::from(wrong) / f64::from(lookups), budget.strain())
    }

    #[test]
    fn the_budget_holds_in_nineteen_of_twenty_deployments_with_drift() {
        let runs: Vec<(f64, f32)> = (1..=1000).map(deployment).collect();
        let over = runs.iter().filter(|(share, _)| *share > 0.01).count();
        let strained = runs.iter().filter(|(_, strain)| *strain > 0.0).count();
        assert!(over <= 50, "{over} of 1000 deployments went over the budget");
        assert!(strained > 100 && strained < 1000, "the simulation tests nothing: {strained} were strained");
    }
}
