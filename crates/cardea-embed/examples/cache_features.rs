//! Turns pairs and streams into numbers for `models/cache-verdict/train.py`.
//!
//!     cargo run --release -p cardea-embed --example cache_features -- pairs < pairs.jsonl
//!     cargo run --release -p cardea-embed --example cache_features -- stream < stream.jsonl
//!
//! A pair becomes one line with its features and veto; a stream's text one line with its nearest earlier texts.

use std::io::{BufRead, Write};

use cardea_core::cache::{Reading, features, veto};
use cardea_embed::{Encoder, Partition};
use serde_json::{Value, json};

/// How many earlier texts are written: more than a cache looks at, since not all of them will be in it.
const EARLIER: usize = 40;

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn compared(a: &Reading, b: &Reading, cosine: f32) -> Value {
    json!({"f": features(a, b, cosine), "veto": veto(a, b).map(|veto| format!("{veto:?}"))})
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let streams = std::env::args().nth(1).as_deref() == Some("stream");
    let encoder = Encoder::bundled()?;
    let mut parts = std::collections::HashMap::<String, Partition<(usize, Reading)>>::new();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let mut row: Value = serde_json::from_str(&line?)?;
        if streams {
            let asked = text(&row, "text").to_owned();
            let (vector, reading) = (encoder.encode(&asked).vector, Reading::new(&asked));
            let part = parts.entry(text(&row, "source").to_owned()).or_default();
            let near = part.nearest(&vector, EARLIER).into_iter().filter(|near| near.cosine > 0.6);
            let near: Vec<Value> = near
                .map(|near| json!([near.item.0, compared(&reading, &near.item.1, near.cosine)]))
                .collect();
            part.insert(vector, (number, reading));
            writeln!(
                out,
                "{}",
                json!({"n": number, "class": text(&row, "class"), "source": text(&row, "source"), "near": near})
            )?;
        } else {
            let (a, b) = (text(&row, "a"), text(&row, "b"));
            let cosine = encoder.encode(a).vector.cosine(&encoder.encode(b).vector);
            let found = compared(&Reading::new(a), &Reading::new(b), cosine);
            if let (Some(row), Value::Object(found)) = (row.as_object_mut(), found) {
                row.extend(found);
            }
            writeln!(out, "{row}")?;
        }
    }
    Ok(())
}
