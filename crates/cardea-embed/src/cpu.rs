//! Detection of the processor's instructions.

/// A family of instructions with kernels of its own. All families give the same vectors, bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// x86-64 with AVX-512 (F, BW, DQ, VL) and VNNI.
    Avx512,
    /// x86-64 with AVX2.
    Avx2,
    /// 64-bit Arm.
    Neon,
    /// Any processor.
    Scalar,
}

/// Proof that this processor has the instructions of one [`Level`]: only detection makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu(Level);

impl Cpu {
    /// Returns the fastest level of this processor.
    #[must_use]
    pub fn best() -> Self {
        let levels = [Level::Avx512, Level::Avx2, Level::Neon];
        Self(levels.into_iter().find(|level| supported(*level)).unwrap_or(Level::Scalar))
    }

    /// Returns every level of this processor, fastest first; the last is always [`Level::Scalar`].
    #[must_use]
    pub fn here() -> Vec<Self> {
        let levels = [Level::Avx512, Level::Avx2, Level::Neon, Level::Scalar];
        levels.into_iter().filter(|level| supported(*level)).map(Self).collect()
    }

    /// Returns the proved level.
    #[must_use]
    pub const fn level(self) -> Level {
        self.0
    }
}

fn supported(level: Level) -> bool {
    match level {
        Level::Scalar => true,
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        Level::Avx512 => {
            is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
                && is_x86_feature_detected!("popcnt")
        }
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        Level::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt"),
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        Level::Neon => std::arch::is_aarch64_feature_detected!("neon"),
        // A level of another architecture. Under Miri only the scalar path is interpreted.
        _ => false,
    }
}
