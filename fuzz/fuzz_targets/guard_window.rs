//! A screened stream is the screened whole, however it is cut.
#![no_main]

use cardea_core::guard::{Engine, Masks, Profile, Surface};
use libfuzzer_sys::fuzz_target;

const PROFILE: &str = "name = 'all'\n[[rule]]\nkinds = ['*']\naction = 'mask'\nthreshold = 0.0";

fuzz_target!(|input: (Vec<u8>, &str)| {
    let (steps, text) = input;
    let engine = Engine::new(&Profile::parse(PROFILE).unwrap()).unwrap();
    let whole = engine.scan_in(text, Surface::Output, &mut Masks::new(&[7; 32]));
    let (mut window, mut names) = (engine.window(Surface::Output), Masks::new(&[7; 32]));
    let (mut out, mut from) = (String::new(), 0);
    for step in steps {
        let to = (from + usize::from(step)).min(text.len());
        if let Some(chunk) = text.get(from..to) {
            out.push_str(&window.push(chunk, &mut names));
            from = to;
        }
    }
    out.push_str(&window.push(&text[from..], &mut names));
    out.push_str(&window.finish(&mut names).text);
    assert_eq!(out, whole.text);
});
