//! Reads texts from standard input, one JSON string a line, and writes what the encoder makes of each.
//!
//! `models/minilm/check.py` compares the output with the float model. An argument names a processor level
//! (`scalar`, `avx2`, …); the default is the fastest one. With `layers 2 4` it writes, as little-endian floats, the vector
//! and the means after layers 2 to 4 of each text's first 160 tokens: what `models/injection/second.py` trains on.

use std::io::{BufRead, Write};

use cardea_embed::{Cpu, Encoder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let level = std::env::args().nth(1).unwrap_or_default();
    if level == "layers" {
        return layers();
    }
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

fn layers() -> Result<(), Box<dyn std::error::Error>> {
    let bounds: Vec<usize> = std::env::args().skip(2).map(|one| one.parse()).collect::<Result<_, _>>()?;
    let [first, last] = bounds.as_slice() else { return Err("say `layers FIRST LAST`".into()) };
    let encoder = Encoder::bundled()?.with_limit(160);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        let (means, vector) = encoder.encode_layers(&text, *first..=*last);
        for value in vector.iter().chain(means.as_flattened()) {
            out.write_all(&value.to_le_bytes())?;
        }
    }
    Ok(out.flush()?)
}
