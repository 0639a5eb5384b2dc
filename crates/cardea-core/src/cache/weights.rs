//! The learned score. Written by `models/cache-verdict/train.py`; do not edit.

use super::verdict::FEATURES;

/// What each feature adds.
pub(super) const WEIGHTS: [f32; FEATURES] = [
    10.17041, -11.67522, 1.69131, -0.45609, 0.51524, 0.13994, 0.56667, -1.89010, -2.49335, -1.59790,
    -3.07513, -1.55347, -1.86511, -0.27346,
];
/// What the score begins with.
pub(super) const BIAS: f32 = -7.61243;
/// How steeply the score rises with the lead over the surroundings, how much the crowd and the count of words say, and
/// the lead at which it is one half.
pub(super) const STEEP: f32 = 14.0;
pub(super) const CROWD: f32 = 0.8;
pub(super) const LENGTH: f32 = 0.06;
pub(super) const LEVEL: f32 = 0.458;
/// The score that is asked for unless somebody says otherwise.
pub(super) const THRESHOLD: f32 = 0.59;
/// The least cosine that is looked at.
pub(super) const FLOOR: f32 = 0.78;
