//! Derives keys, each for one purpose.

use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

/// HKDF-SHA-256 over a key that is random already, so only the expand step is needed.
pub(super) fn derive(key: &[u8; 32], label: &[u8], context: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut derived = Zeroizing::new([0; 32]);
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, key);
    let filled =
        prk.expand(&[label, b"\0", context], hkdf::HKDF_SHA256).and_then(|okm| okm.fill(derived.as_mut()));
    if filled.is_err() {
        // WHY: 32 bytes can always be derived. Continuing with zeros would seal with a key that everybody knows.
        std::process::abort();
    }
    derived
}
