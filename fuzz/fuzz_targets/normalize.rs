//! Folding twice is folding once, and every place has a source.
#![no_main]

use cardea_core::guard::fold_for_tests;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (once, sources) = fold_for_tests(text);
    assert_eq!(fold_for_tests(&once).0, once);
    for (start, end) in sources {
        assert!(start < end && text.get(start..end).is_some());
    }
});
