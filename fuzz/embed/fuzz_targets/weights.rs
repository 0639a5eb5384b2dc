//! A damaged weight file is refused, or read within its bounds: no panic, no read past an end.
#![no_main]

use std::sync::LazyLock;

use cardea_embed::Encoder;
use libfuzzer_sys::fuzz_target;

#[path = "../../../crates/cardea-embed/src/small_file.rs"]
mod small_file;

static MODEL: LazyLock<Vec<u8>> = LazyLock::new(small_file::model);

/// Bytes written over the file (a head's place is drawn more often), where it ends, and what is encoded then.
type Damage = (Vec<(u32, u8)>, Vec<(u8, u8)>, Option<u32>, String);

fuzz_target!(|damage: Damage| {
    let (anywhere, head, end, text) = damage;
    let mut file = MODEL.clone();
    let places = anywhere.into_iter().map(|(at, byte)| (at as usize % file.len(), byte));
    let places: Vec<_> = places.chain(head.into_iter().map(|(at, byte)| (usize::from(at) % 128, byte))).collect();
    for (at, byte) in places {
        file[at] = byte;
    }
    if let Some(end) = end {
        file.truncate(end as usize % (file.len() + 1));
    }
    if let Ok(encoder) = Encoder::from_bytes(file) {
        let text: String = text.chars().take(40).collect();
        assert!((2..=512).contains(&encoder.tokens(&text).len()));
        let made = encoder.with_limit(5).encode(&text);
        assert!(made.tokens <= 5);
    }
});
