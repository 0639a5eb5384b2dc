//! Measures tool selection on files of queries: `evals/select.md` tells what came out.
//!
//!     cargo run --release -p cardea-embed --example select_eval -- ../shared/data/tools

use std::{collections::HashMap, fs, io::Write, path::Path};

use cardea_core::{
    select::{Index, Limits, Wish, find_tools, tool_text},
    tool::ToolSpec,
};
use cardea_embed::{Encoder, Table, Vector};
use serde_json::{Value, json};

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(row: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    row.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn tool(row: &Value) -> ToolSpec {
    let properties: serde_json::Map<_, _> =
        list(row, "params").map(|name| (name.to_owned(), json!({}))).collect();
    ToolSpec {
        name: text(row, "name").into(),
        description: text(row, "description").to_owned(),
        input_schema: json!({"type": "object", "properties": properties}),
        ..find_tools()
    }
}

/// Recall of one way of choosing.
struct Score {
    found: [usize; 3],
    relevant: usize,
    complete: usize,
    queries: usize,
    offered: usize,
}

impl Score {
    const fn new() -> Self {
        Self { found: [0; 3], relevant: 0, complete: 0, queries: 0, offered: 0 }
    }

    fn count(&mut self, ranked: &[usize], relevant: &[usize]) {
        for (found, reach) in self.found.iter_mut().zip([1, 5, 8]) {
            *found += relevant.iter().filter(|tool| ranked.iter().take(reach).any(|at| at == *tool)).count();
        }
        self.relevant += relevant.len();
        self.complete += usize::from(relevant.iter().all(|tool| ranked.iter().take(8).any(|at| at == tool)));
        self.queries += 1;
        self.offered += ranked.len().min(8);
    }

    /// Shares with the half width of the 95 % interval of recall at 8 (normal approximation).
    fn line(&self) -> String {
        let share = |count: usize| count as f64 / self.relevant.max(1) as f64;
        let [one, five, eight] = self.found.map(share);
        let half = 1.96 * (eight * (1.0 - eight) / self.relevant.max(1) as f64).sqrt();
        let complete = self.complete as f64 / self.queries.max(1) as f64;
        let offered = self.offered as f64 / self.queries.max(1) as f64;
        format!("{one:.3} | {five:.3} | {eight:.3} ± {half:.3} | {complete:.3} | {offered:.1}")
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name the folder of the tool files")?;
    let encoder = Encoder::bundled()?;
    let table = Table::bundled(&encoder)?.ok_or("the table is of another vocabulary")?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "| set | way | recall@1 | @5 | @8 | all in 8 | offered |\n|---|---|---|---|---|---|---|")?;
    for set in ["seed30", "metatool", "bfcl"] {
        let catalog = fs::read_to_string(Path::new(&folder).join(format!("{set}.catalog.json")))?;
        let rows: Vec<Value> = serde_json::from_str(&catalog)?;
        let tools: Vec<ToolSpec> = rows.iter().map(tool).collect();
        let vectors: Vec<Vector> = tools.iter().map(|tool| encoder.encode(&tool_text(tool)).vector).collect();
        let quick: Vec<Vector> = tools.iter().map(|tool| table.vector(&encoder, &tool_text(tool))).collect();
        let places: HashMap<&str, usize> =
            tools.iter().enumerate().map(|(at, tool)| (tool.name.as_str(), at)).collect();
        let (index, allowed) = (Index::new(&tools), (0..tools.len()).collect::<Vec<_>>());
        let [mut words, mut meaning, mut all, mut cut, mut hurried] = [const { Score::new() }; 5];
        for line in fs::read_to_string(Path::new(&folder).join(format!("{set}.jsonl")))?.lines() {
            let row: Value = serde_json::from_str(line)?;
            let asked = encoder.encode(text(&row, "query")).vector;
            let cosines: Vec<f32> = vectors.iter().map(|vector| vector.cosine(&asked)).collect();
            let relevant: Vec<usize> =
                list(&row, "relevant").filter_map(|name| places.get(name).copied()).collect();
            let glance = table.vector(&encoder, text(&row, "query"));
            let glances: Vec<f32> = quick.iter().map(|vector| vector.cosine(&glance)).collect();
            let wide = Limits { max: 8, drop: f32::INFINITY };
            let choose = |score: &mut Score, cosines, glances, limits| {
                let wish = Wish { text: text(&row, "query"), cosines, glances, keep: &[] };
                score.count(&index.choose(&allowed, &wish, limits).tools, &relevant);
            };
            choose(&mut words, None, None, wide);
            choose(&mut hurried, None, Some(&glances), wide);
            choose(&mut all, Some(&cosines), Some(&glances), wide);
            choose(&mut cut, Some(&cosines), Some(&glances), Limits::default());
            let mut near = allowed.clone();
            near.sort_by(|a, b| {
                cosines.get(*b).partial_cmp(&cosines.get(*a)).unwrap_or(std::cmp::Ordering::Equal)
            });
            near.truncate(8);
            meaning.count(&near, &relevant);
        }
        for (way, score) in [
            ("words", &words),
            ("encoder", &meaning),
            ("words and table: no time for the encoder", &hurried),
            ("all three", &all),
            ("all three, with cut-off", &cut),
        ] {
            writeln!(out, "| {set} {} | {way} | {} |", tools.len(), score.line())?;
        }
    }
    Ok(())
}
