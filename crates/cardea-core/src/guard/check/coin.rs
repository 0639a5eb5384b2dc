//! Wallet addresses and keys.

use aws_lc_rs::digest::{SHA256, digest};

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Checks base 58 with a checksum of four bytes of double SHA-256.
pub(super) fn base58check(text: &[u8]) -> bool {
    if !(26..=64).contains(&text.len()) {
        return false;
    }
    let mut bytes: Vec<u8> = Vec::with_capacity(48);
    for byte in text {
        let Some(value) = BASE58.iter().position(|known| known == byte) else { return false };
        let mut carry = value;
        for place in &mut bytes {
            carry += usize::from(*place) * 58;
            *place = u8::try_from(carry & 0xff).unwrap_or_default();
            carry >>= 8;
        }
        while carry > 0 {
            bytes.push(u8::try_from(carry & 0xff).unwrap_or_default());
            carry >>= 8;
        }
    }
    bytes.extend(text.iter().take_while(|byte| **byte == b'1').map(|_| 0));
    bytes.reverse();
    let Some((body, sum)) = bytes.len().checked_sub(4).and_then(|at| bytes.split_at_checked(at)) else {
        return false;
    };
    digest(&SHA256, digest(&SHA256, body).as_ref()).as_ref().starts_with(sum)
}

/// Checks a private key of a wallet: a single key, or an extended one.
pub(super) fn wallet_key(text: &[u8]) -> bool {
    // WHY: the longer form exceeds the length limit of the checksum here, and its prefix is distinctive enough.
    if text.len() > 64 { text.get(1..4) == Some(b"prv") } else { base58check(text) }
}

/// Checks a bech32 address (BIP 173, BIP 350).
pub(super) fn bech32(text: &[u8]) -> bool {
    const STEPS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let lower: Vec<u8> = text.iter().take(128).map(u8::to_ascii_lowercase).collect();
    let Some(split) = lower.iter().rposition(|byte| *byte == b'1') else { return false };
    let Some((name, rest)) = lower.split_at_checked(split) else { return false };
    let step = |state: u32, value: u32| {
        let top = state >> 25;
        let mixed = ((state & 0x01ff_ffff) << 5) ^ value;
        STEPS.iter().enumerate().fold(
            mixed,
            |mixed, (bit, word)| {
                if top >> bit & 1 == 1 { mixed ^ word } else { mixed }
            },
        )
    };
    let mut state = name.iter().fold(1, |state, byte| step(state, u32::from(byte >> 5)));
    state = step(state, 0);
    state = name.iter().fold(state, |state, byte| step(state, u32::from(byte & 31)));
    for byte in rest.iter().skip(1) {
        let Some(value) = BECH32.iter().position(|known| known == byte) else { return false };
        state = step(state, u32::try_from(value).unwrap_or_default());
    }
    rest.len() > 7 && matches!(state, 1 | 0x2bc8_30a3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_addresses_add_up_and_changed_ones_do_not() {
        assert!(base58check(b"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"));
        assert!(!base58check(b"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3"));
        assert!(bech32(b"bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"));
        assert!(!bech32(b"bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp"));
    }
}
