//! The learned score. Written by `models/cache-verdict/train.py`; do not edit.

use super::verdict::FEATURES;

/// What each feature adds.
pub(super) const WEIGHTS: [f32; FEATURES] = [
    9.84151, -10.09493, 1.32077, -0.34583, 0.59268, 0.12280, 0.82718, -2.34209, -2.38377, -1.53247, -2.93717,
    -0.88924, -1.80734, -0.54992,
];
/// What the score begins with.
pub(super) const BIAS: f32 = -7.37642;
/// The score that is asked for unless somebody says otherwise.
pub(super) const THRESHOLD: f32 = 0.6;
/// The least cosine that is looked at.
pub(super) const FLOOR: f32 = 0.86;
