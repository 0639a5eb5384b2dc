//! Turns pairs and streams into numbers for `models/cache-verdict/train.py`.
//!
//!     cargo run --release -p cardea-embed --example cache_features -- pairs < pairs.jsonl
//!     cargo run --release -p cardea-embed --example cache_features -- stream < stream.jsonl
//!
//! A pair becomes one line with its features and veto. A stream is replayed against an empty cache with the usual
//! mode; each text becomes a line with the class it was served and with its best candidate.

use std::{
    collections::HashMap,
    io::{BufRead, Write},
};

use cardea_core::cache::{
    Candidate, Mode, Question, Reading, SAMPLE, Verdict, crowd, features, judge, score, veto,
};
use cardea_embed::{Encoder, Partition, Vector};
use serde_json::{Value, json};

/// As in the cache itself.
const NEIGHBOURS: usize = 12;

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn pair(encoder: &Encoder, mut row: Value) -> Value {
    let (a, b) = (text(&row, "a"), text(&row, "b"));
    let cosine = encoder.encode(a).vector.cosine(&encoder.encode(b).vector);
    let (a, b) = (Reading::new(a), Reading::new(b));
    let numbers = features(&a, &b, cosine);
    let words = (a.words().count() + b.words().count()) as f32 / 2.0;
    let veto = veto(&a, &b).map(|veto| format!("{veto:?}"));
    if let Some(row) = row.as_object_mut() {
        row.extend([("f".to_owned(), json!(numbers)), ("veto".to_owned(), json!(veto))]);
        row.extend([("words".to_owned(), json!(words)), ("crowd".to_owned(), json!(crowd(&[], 0)))]);
    }
    row
}

/// The entries of one source: texts with their classes.
type Kept = Partition<(String, String)>;

/// What the cache does with one text of a stream, which becomes an entry on a miss.
fn step(kept: &mut Kept, asked: &str, class: &str, vector: Vector) -> Value {
    let near = kept.nearest(&vector, NEIGHBOURS);
    let crowd_at = |index| {
        let own = kept.vector(index).map(|own| kept.sample(&own, SAMPLE, Some(index)));
        crowd(&own.unwrap_or_default(), kept.len())
    };
    let candidates: Vec<Candidate<'_>> = near
        .iter()
        .map(|near| Candidate { text: &near.item.0, cosine: near.cosine, crowd: crowd_at(near.index) })
        .collect();
    let question = Question { text: asked, crowd: crowd(&kept.sample(&vector, SAMPLE, None), kept.len()) };
    let reading = Reading::new(asked);
    let best = near.iter().zip(&candidates).find_map(|(near, candidate)| {
        let other = Reading::new(candidate.text);
        let words = (reading.words().count() + other.words().count()) as f32 / 2.0;
        let around = f32::midpoint(question.crowd, candidate.crowd);
        let said = score(&features(&reading, &other, candidate.cosine));
        veto(&reading, &other).is_none().then(|| {
            json!({"cosine": candidate.cosine, "crowd": around, "words": words, "score": said,
                   "same": near.item.1 == class})
        })
    });
    let served = match judge(question, &candidates, Mode::default()) {
        Verdict::Hit { index, .. } => near.get(index).map(|near| near.item.1.clone()),
        Verdict::Miss(_) => None,
    };
    let told = json!({"class": class, "served": served, "best": best, "entries": kept.len()});
    if served.is_none() {
        kept.insert(vector, (asked.to_owned(), class.to_owned()));
    }
    told
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let streams = std::env::args().nth(1).as_deref() == Some("stream");
    let encoder = Encoder::bundled()?;
    let mut parts = HashMap::<String, Kept>::new();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let row: Value = serde_json::from_str(&line?)?;
        if streams {
            let (asked, source) = (text(&row, "text"), text(&row, "source"));
            let kept = parts.entry(source.to_owned()).or_default();
            let mut told = step(kept, asked, text(&row, "class"), encoder.encode(asked).vector);
            if let Some(told) = told.as_object_mut() {
                told.insert("source".to_owned(), json!(source));
            }
            writeln!(out, "{told}")?;
        } else {
            writeln!(out, "{}", pair(&encoder, row))?;
        }
    }
    Ok(())
}
