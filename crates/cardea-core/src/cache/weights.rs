//! The learned score. Written by `models/cache-verdict/train.py`; do not edit.

use super::verdict::FEATURES;

/// What each feature adds.
pub(super) const WEIGHTS: [f32; FEATURES] = [
    9.89651, -10.43758, 1.44430, -0.39612, 0.56758, 0.12817, 0.79148, -2.26714, -2.40714, -1.54082, -2.98939,
    -0.90805, -1.81712, -0.56181,
];
/// What the score begins with.
pub(super) const BIAS: f32 = -7.42183;
/// How steeply the score rises with the lead over the surroundings, how much the crowd and the count of words say, and
/// the lead at which it is one half.
pub(super) const STEEP: f32 = 14.0;
pub(super) const CROWD: f32 = 0.8;
pub(super) const LENGTH: f32 = 0.06;
pub(super) const LEVEL: f32 = 0.458;
/// The score that is asked for unless somebody says otherwise.
pub(super) const THRESHOLD: f32 = 0.55;
/// The least cosine that is looked at.
pub(super) const FLOOR: f32 = 0.78;
