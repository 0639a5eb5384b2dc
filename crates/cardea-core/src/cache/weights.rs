//! The learned score. Written by `models/cache-verdict/train.py`; do not edit.

/// What each feature adds.
pub(super) const WEIGHTS: [f32; 14] = [
    9.21278, -8.41498, 1.28257, -0.31673, 0.32963, 0.14604, 0.01808, -1.20286, -2.16249, -1.26275, -2.64759,
    -1.09102, -1.74453, -0.39180,
];
/// What the score begins with.
pub(super) const BIAS: f32 = -6.93850;
/// How steeply the score rises with the lead over the surroundings, how much the crowd and the count of words say, and
/// the lead at which it is one half.
pub(super) const STEEP: f32 = 14.0;
pub(super) const CROWD: f32 = 0.8;
pub(super) const LENGTH: f32 = 0.06;
pub(super) const LEVEL: f32 = 0.458;
/// The score that is asked for unless somebody says otherwise.
pub(super) const THRESHOLD: f32 = 0.57;
/// The least cosine that is looked at.
pub(super) const FLOOR: f32 = 0.78;
