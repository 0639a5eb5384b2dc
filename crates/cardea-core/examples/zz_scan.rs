#![allow(missing_docs, clippy::all, reason = "temporary")]
#![expect(clippy::print_stdout, reason = "temporary")]
use cardea_core::guard::{Engine, Profile, Surface};
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::new(&Profile { second_look: None, ..Profile::built_in("strict")? })?;
    for line in std::io::stdin().lines() {
        let row: serde_json::Value = serde_json::from_str(&line?)?;
        let text = row["text"].as_str().unwrap_or_default();
        let found: Vec<_> = engine
            .scan(text, Surface::User)
            .findings
            .iter()
            .map(|f| {
                serde_json::json!([
                    &*f.kind,
                    f.rule.to_string(),
                    f.span.start,
                    f.span.end,
                    text.get(f.span.clone())
                ])
            })
            .collect();
        println!("{}", serde_json::json!({"id": row["id"], "found": found}));
    }
    Ok(())
}
