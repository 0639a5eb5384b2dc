//! Measures tool selection on files of queries: `evals/select.md` tells what came out.
//!
//!     cargo run --release -p cardea-embed --example select_eval -- ../shared/data/tools

use std::{collections::HashMap, fs, io::Write, path::Path};

use cardea_core::{
    select::{Closely, Index, Limits, Wish, find_tools, tool_text},
    tool::ToolSpec,
};
use cardea_embed::{Encoder, Pieces, Rarity, Table, Vector};
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

/// A catalogue as it is read once.
struct Known {
    index: Index,
    vectors: Vec<Vector>,
    pieces: Vec<Pieces>,
    glances: Vec<Vector>,
    allowed: Vec<usize>,
}

impl Known {
    fn read(encoder: &Encoder, table: &Table, tools: &[ToolSpec]) -> Self {
        let texts: Vec<String> = tools.iter().map(tool_text).collect();
        let read = texts.iter().map(|text| encoder.read(text));
        let (vectors, pieces) = read.map(|(encoding, pieces)| (encoding.vector, pieces)).unzip();
        let glances = texts.iter().map(|text| table.vector(encoder, text)).collect();
        Self { index: Index::new(tools), vectors, pieces, glances, allowed: (0..tools.len()).collect() }
    }

    /// How long one choice takes when the text has been encoded, microseconds: the least of some.
    fn takes(&self, encoder: &Encoder, table: &Table, text: &str) -> f64 {
        let (asked, pieces) = encoder.read(text);
        let once = || {
            let begun = std::time::Instant::now();
            let cosines: Vec<f32> = self.vectors.iter().map(|vector| vector.cosine(&asked.vector)).collect();
            let glance = table.vector(encoder, text);
            let glances: Vec<f32> = self.glances.iter().map(|vector| vector.cosine(&glance)).collect();
            self.choose(text, [Some(&cosines), Some(&glances)], Some(&pieces), Limits::default());
            begun.elapsed().as_secs_f64() * 1e6
        };
        (0..50).map(|_| once()).fold(f64::INFINITY, f64::min)
    }

    fn choose(
        &self,
        text: &str,
        near: [Option<&[f32]>; 2],
        pieces: Option<&Pieces>,
        limits: Limits,
    ) -> Vec<usize> {
        let fits = |tools: &[usize]| {
            let rarity = Rarity::among(self.allowed.iter().filter_map(|tool| self.pieces.get(*tool)));
            let tools = tools.iter().filter_map(|tool| self.pieces.get(*tool));
            pieces.map(|pieces| pieces.fits(tools, &rarity)).unwrap_or_default()
        };
        let [cosines, glances] = near;
        let closely = pieces.map(|_| Closely(&fits as &dyn Fn(&[usize]) -> Vec<[f32; 2]>));
        let wish = Wish { cosines, glances, closely, ..Wish::new(text) };
        self.index.choose(&self.allowed, &wish, limits).tools
    }
}

fn read(folder: &str, set: &str) -> Result<(Vec<ToolSpec>, Vec<Value>), Box<dyn std::error::Error>> {
    let folder = Path::new(folder);
    let rows: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(folder.join(format!("{set}.catalog.json")))?)?;
    let queries = fs::read_to_string(folder.join(format!("{set}.jsonl")))?;
    let queries = queries.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok((rows.iter().map(tool).collect(), queries))
}

/// Our own list: tools that do not exist, and wishes for each.
fn own(path: &str) -> Result<(Vec<ToolSpec>, Vec<Value>), Box<dyn std::error::Error>> {
    let (mut tools, mut queries) = (Vec::new(), Vec::new());
    for line in fs::read_to_string(path)?.lines().filter(|line| !line.starts_with('#')) {
        let (about, wishes) = line.split_once('!').ok_or("a line without wishes")?;
        let (name, description) = about.split_once('|').ok_or("a tool without a description")?;
        tools.push(tool(&json!({"name": name, "description": description})));
        queries.extend(wishes.split('|').map(|wish| json!({"query": wish, "relevant": [name]})));
    }
    Ok((tools, queries))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name the folder of the tool files")?;
    let encoder = Encoder::bundled()?;
    let table = Table::bundled(&encoder)?.ok_or("the table is of another vocabulary")?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "| set | way | recall@1 | @5 | @8 | all in 8 | offered |\n|---|---|---|---|---|---|---|")?;
    for set in ["seed30", "metatool", "bfcl", "own"] {
        let (tools, queries) = if set == "own" { own("models/select/own.txt")? } else { read(&folder, set)? };
        let known = Known::read(&encoder, &table, &tools);
        let places: HashMap<&str, usize> =
            tools.iter().enumerate().map(|(at, tool)| (tool.name.as_str(), at)).collect();
        let [mut words, mut meaning, mut three, mut all, mut cut, mut hurried] = [const { Score::new() }; 6];
        for row in &queries {
            let query = text(row, "query");
            let (asked, pieces) = encoder.read(query);
            let cosines: Vec<f32> = known.vectors.iter().map(|vector| vector.cosine(&asked.vector)).collect();
            let relevant: Vec<usize> =
                list(row, "relevant").filter_map(|name| places.get(name).copied()).collect();
            let glance = table.vector(&encoder, query);
            let glances: Vec<f32> = known.glances.iter().map(|vector| vector.cosine(&glance)).collect();
            let wide = Limits { max: 8, drop: f32::INFINITY };
            let both = [Some(cosines.as_slice()), Some(glances.as_slice())];
            words.count(&known.choose(query, [None, None], None, wide), &relevant);
            hurried.count(&known.choose(query, [None, both[1]], None, wide), &relevant);
            three.count(&known.choose(query, both, None, wide), &relevant);
            all.count(&known.choose(query, both, Some(&pieces), wide), &relevant);
            cut.count(&known.choose(query, both, Some(&pieces), Limits::default()), &relevant);
            let mut near = known.allowed.clone();
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
            ("all three, without tokens", &three),
            ("all", &all),
            ("all, with cut-off", &cut),
        ] {
            writeln!(out, "| {set} {} | {way} | {} |", tools.len(), score.line())?;
        }
    }
    // What a choice costs: the first tools of the largest catalogue.
    let (tools, queries) = read(&folder, "bfcl")?;
    for count in [30, 200, 1000] {
        let known = Known::read(&encoder, &table, tools.get(..count).unwrap_or(&tools));
        let mut times: Vec<f64> =
            queries.iter().take(40).map(|row| known.takes(&encoder, &table, text(row, "query"))).collect();
        times.sort_by(f64::total_cmp);
        let (middle, most) = (times.get(times.len() / 2), times.last());
        writeln!(
            out,
            "one choice among {count}: {:.0} µs (slowest {:.0})",
            middle.unwrap_or(&0.0),
            most.unwrap_or(&0.0)
        )?;
    }
    Ok(())
}
