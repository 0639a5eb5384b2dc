//! Reads texts from standard input, one JSON string a line, and writes what the encoder makes of each.
//!
//! `models/minilm/check.py` compares the output with the float model. An argument names a processor level
//! (`scalar`, `avx2`, …); the default is the fastest one.

use std::io::{BufRead, Write};

use cardea_embed::{Cpu, Encoder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let level = std::env::args().nth(1).unwrap_or_default();
    let cpus = Cpu::here();
    let named = |cpu: &&Cpu| format!("{:?}", cpu.level()).eq_ignore_ascii_case(&level);
    let cpu = cpus.iter().find(named).copied().unwrap_or_else(Cpu::best);
    let encoder = Encoder::bundled()?.on(cpu);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        let vector = encoder.encode_floats(&text);
        let ids = encoder.tokens(&text);
        writeln!(out, "{}", serde_json::json!({"ids": ids, "vector": vector.as_slice()}))?;
    }
    Ok(())
}
