//! Measures encoder and scans in CPU time of this thread, minimum and median, which other programs disturb least.
//!
//!     cargo run --release -p cardea-embed --example speed
//!     cargo run --release -p cardea-embed --example speed -- scans
//!     cargo run --release -p cardea-embed --example speed -- encoder    # the best level only, no scans

use std::{fs, hint::black_box, io::Write};

use cardea_core::cache::{Candidate, Mode, Question, crowd, judge};
use cardea_embed::{Cpu, DIMS, Encoder, Partition, Vector};

/// Nanoseconds that this thread has run, as Linux counts them.
fn spent() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_ascii_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Minimum and median microseconds of one call.
fn measure(rounds: usize, repeat: usize, mut call: impl FnMut()) -> (f64, f64) {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let before = spent();
            (0..repeat).for_each(|_| call());
            (spent() - before) as f64 / 1000.0 / repeat as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |index: usize| times.get(index).copied().unwrap_or(0.0);
    (at(0), at(rounds / 2))
}

fn memory() -> String {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmRSS"));
    line.unwrap_or("VmRSS unknown").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    let before = spent();
    let encoder = Encoder::bundled()?;
    writeln!(out, "open {:.2} ms, {}, {}", (spent() - before) as f64 / 1e6, encoder.id(), memory())?;
    let scans = std::env::args().any(|word| word == "scans");
    let encoder_only = std::env::args().any(|word| word == "encoder");
    for cpu in Cpu::here().into_iter().filter(|cpu| !scans && (!encoder_only || *cpu == Cpu::best())) {
        let encoder = encoder.clone().on(cpu);
        for tokens in [8_usize, 16, 32, 64, 128, 256] {
            let text = "order ".repeat(tokens - 2);
            assert_eq!(encoder.encode(&text).tokens, tokens);
            // Linux counts in steps of up to 4 ms, so a round must last some tens of them.
            let (low, middle) =
                measure(7, 2560 / tokens, || drop(black_box(encoder.encode(black_box(&text)))));
            writeln!(
                out,
                "{:?} {tokens:4} tokens: {:7.3} / {:7.3} ms",
                cpu.level(),
                low / 1e3,
                middle / 1e3
            )?;
        }
    }
    writeln!(out, "after encoding: {}", memory())?;
    if encoder_only {
        return Ok(());
    }
    let mut state = 1_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 16_777_216.0 - 0.5
    };
    for size in [1_000_usize, 10_000, 100_000] {
        let mut part = Partition::new();
        let centres: Vec<[f32; DIMS]> = (0..size / 20).map(|_| std::array::from_fn(|_| next())).collect();
        for (number, centre) in centres.iter().cycle().take(size).enumerate() {
            part.insert(Vector::from_floats(&centre.map(|value| value + 0.6 * next())), number);
        }
        let query = part.vector(size / 2).ok_or("the partition is empty")?;
        let (low, middle) =
            measure(7, 200_000_000 / size / 40, || drop(black_box(part.nearest(black_box(&query), 12))));
        writeln!(out, "nearest 12 of {size:6}: {low:7.1} / {middle:7.1} µs")?;
    }
    let (low, middle) = verdict();
    writeln!(out, "verdict, each of 12 near candidates: {low:7.1} / {middle:7.1} µs")?;
    Ok(())
}

/// What the cache's decision costs for each candidate that is near enough, the reading of its text included.
fn verdict() -> (f64, f64) {
    let crowd = crowd(&[], 0);
    let texts = [
        "when does the trial of my premium plan end",
        "end of the trial period of the premium plan",
        "what is the last day of my free premium trial",
        "does my premium plan's trial end this week",
    ];
    let near: Vec<Candidate<'_>> =
        texts.iter().cycle().take(12).map(|text| Candidate { text, cosine: 0.9, crowd }).collect();
    let asked = Question { text: "tell me when the trial for the premium plan is over", crowd };
    let (low, middle) = measure(7, 2_000, || {
        black_box(judge(black_box(asked), black_box(&near), Mode::default()));
    });
    (low / 12.0, middle / 12.0)
}
