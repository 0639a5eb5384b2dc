//! Whatever is written, its tokens stand between the two marks, are no more than allowed, and are the same again.
#![no_main]

use std::sync::LazyLock;

use cardea_embed::{Encoder, Table};
use libfuzzer_sys::fuzz_target;

static ENCODER: LazyLock<Encoder> = LazyLock::new(|| Encoder::bundled().expect("the bundled weights"));
static TABLE: LazyLock<Option<Table>> = LazyLock::new(|| Table::bundled(&ENCODER).expect("the bundled table"));

fuzz_target!(|input: (u8, &str)| {
    let (limit, text) = input;
    let encoder = ENCODER.clone().with_limit(usize::from(limit));
    let tokens = encoder.tokens(text);
    assert!((2..=usize::from(limit).max(3)).contains(&tokens.len()));
    assert_eq!((tokens.first(), tokens.last()), (Some(&101), Some(&102)));
    assert!(tokens[1..tokens.len() - 1].iter().all(|token| !(101..=103).contains(token)), "no mark from outside");
    assert_eq!(tokens, encoder.tokens(text));
    let whole = ENCODER.tokens(text);
    if whole.len() < tokens.len() + 1 {
        assert_eq!(whole, tokens);
    }
    if let Some(table) = TABLE.as_ref() {
        let near = table.vector(&ENCODER, text);
        assert!(near.cosine(&near).is_finite());
    }
});
