//! Text that gives orders to the model.
//!
//! Structural rules are rows of the pattern table (`patterns/injection.toml`) and speak for themselves. The classifier
//! looks at the whole text and at its windows; rules that fired speak for it too. Its confidence is calibrated on
//! harmless texts that no training had seen: 0.5 is reached by about 5 % of them, 0.7 by 1 %, 0.9 by 0.1 %.

mod reading;
mod score;

use std::{collections::BTreeSet, ops::Range};

use self::{reading::Readings, score::Model};
use super::{
    catalogue::{Catalogue, KindId},
    detect::Seen,
    normalize::View,
    verdict::{Family, Surface},
};
use crate::Result;

/// The weights that `models/injection/train.py` made.
const WEIGHTS: &[u8] = include_bytes!("../../../../../models/injection/weights.bin");

/// A decoded payload shorter than this is not judged by the classifier.
const SHORTEST_CHILD: usize = 16;

/// What a rule that fired adds to the classifier's margin, for each point of its confidence.
const RULE_WEIGHT: f32 = 2.0;

/// The classifier with its kind.
pub(super) struct Injection {
    model: Model,
    readings: Readings,
    kind: KindId,
}

impl Injection {
    pub(super) fn build(catalogue: &mut Catalogue) -> Result<Self> {
        Ok(Self {
            model: Model::parse(WEIGHTS)?,
            readings: Readings::build()?,
            kind: catalogue.add("injection", Family::Injection, "REMOVED"),
        })
    }

    /// Other ways to read a text, in which rules look for orders as well.
    pub(super) fn readings(&self, view: &View<'_>) -> Vec<View<'static>> {
        self.readings.of(view)
    }

    /// Judges a whole text with its decoded payloads, in the light of the rules that fired in it.
    pub(super) fn judge(
        &self,
        views: &[&View<'_>],
        surface: Surface,
        fired: &[(KindId, f32)],
    ) -> Option<Seen> {
        if matches!(surface, Surface::Output | Surface::ToolArguments) {
            return None;
        }
        let mut best: Option<(f32, Range<usize>)> = None;
        for (number, view) in views.iter().enumerate() {
            if number > 0 && view.text.len() < SHORTEST_CHILD {
                continue;
            }
            let (margin, window) = self.model.score(view.bytes(), surface.is_untrusted());
            if best.as_ref().is_none_or(|(top, _)| margin > *top) {
                let (from, to) = view.back(window.start, window.end);
                best = Some((margin, from..to));
            }
        }
        let (margin, span) = best?;
        let mut kinds = BTreeSet::new();
        let strongest = |kind: KindId| {
            fired
                .iter()
                .filter(|(other, _)| *other == kind)
                .map(|(_, confidence)| *confidence)
                .fold(0.0, f32::max)
        };
        let boost: f32 = fired
            .iter()
            .filter(|(kind, _)| kinds.insert(*kind))
            .map(|(kind, _)| strongest(*kind) * RULE_WEIGHT)
            .sum();
        let confidence = self.model.confidence(margin + boost, surface.is_untrusted());
        let rule = "classifier".into();
        Some(Seen { kind: self.kind, span, confidence, detector: "classifier", rule, rank: 1, forced: None })
    }

    /// The margin of a text without rules, for evaluation.
    #[cfg(test)]
    pub(super) fn margin(&self, view: &View<'_>, untrusted: bool) -> f32 {
        self.model.score(view.bytes(), untrusted).0
    }
}

#[cfg(test)]
mod tests {
    use super::super::{detect::Detectors, normalize::fold};

    #[test]
    fn the_engine_scores_as_the_training_script_does() {
        #[derive(serde::Deserialize)]
        struct Golden {
            text: String,
            untrusted: bool,
            margin: f32,
        }
        let detectors = Detectors::shared().unwrap();
        let lines = include_str!("../../../../../models/injection/golden.jsonl").lines();
        let golden: Vec<Golden> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(golden.len() >= 30);
        for one in golden {
            let margin = detectors.injection().margin(&fold(&one.text), one.untrusted);
            assert!((margin - one.margin).abs() < 0.02, "{margin} {} {}", one.margin, one.text);
        }
    }
}
