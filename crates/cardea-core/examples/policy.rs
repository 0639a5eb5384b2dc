//! How long a decision takes beside 10, 1,000 and 10,000 policies, with input building: `bench/policy/README.md`.

use std::{collections::BTreeSet, io::Write, time::Instant};

use cardea_core::{
    id::{AgentName, ToolName},
    policy::{Question, Snapshot, Source, Subject, Verdict, Via},
    principal::{Principal, Proof},
    time::Timestamp,
    tool::ToolSpec,
};
use serde_json::{Map, Value, json};

const TOOLS: usize = 30;
const ROUNDS: usize = 2_000;

fn tools() -> Vec<ToolSpec> {
    let tool = |number: usize| {
        json!({
            "name": format!("ops__tool_{number}"), "description": "", "effect": if number.is_multiple_of(3) { "write" } else { "read" },
            "input_schema": { "type": "object", "required": ["order", "amount"],
                "properties": { "order": { "type": "string" }, "amount": { "type": "number" } } },
        })
    };
    (0..TOOLS).filter_map(|number| serde_json::from_value(tool(number)).ok()).collect()
}

/// Ten policies that matter to the question, and the rest for other roles and tools.
fn policies(count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        let (role, tool) =
            if number < 10 { ("support".to_owned(), 0) } else { (format!("role-{number}"), number % TOOLS) };
        text.push_str(&format!(
            "@id(\"p{number}\") permit (principal in Role::\"{role}\", action == Action::\"ops__tool_{tool}\", resource)\n\
             when {{ principal.tenant == \"acme\" && context.args.amount_hundredths <= {} }};\n",
            10_000 + number,
        ));
    }
    text
}

fn main() -> std::io::Result<()> {
    let principal = Principal {
        client: Some("web".into()),
        roles: BTreeSet::from(["support".to_owned(), "staff".to_owned()]),
        scopes: BTreeSet::from(["read".to_owned(), "write".to_owned()]),
        ..Principal::new("acme", "ann", "https://login.example", Proof::Jwt)
    };
    let (tool, agent, taint): (ToolName, AgentName, _) =
        ("ops__tool_0".into(), "support".into(), BTreeSet::new());
    let arguments: Map<String, Value> =
        Map::from_iter([("order".to_owned(), json!("ORD-1042")), ("amount".to_owned(), json!(25.5))]);
    let question = Question {
        principal: &principal,
        subject: Subject::Call { tool: &tool, arguments: &arguments },
        at: Timestamp(1_700_000_000_000),
        agent: &agent,
        via: Via::Chat,
        taint: &taint,
        approved: None,
    };
    let mut out = std::io::stdout().lock();
    for count in [10, 1_000, 10_000] {
        let start = Instant::now();
        let Ok(snapshot) = Snapshot::compile(&[Source::new("bench.cedar", policies(count))], &tools()) else {
            return Err(std::io::Error::other("the policies do not compile"));
        };
        let compiled = start.elapsed();
        let mut micros = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let decision = snapshot.decide(&question);
            micros.push(start.elapsed().as_nanos() as f64 / 1_000.0);
            if decision.verdict != Verdict::Allow {
                return Err(std::io::Error::other(decision.reason));
            }
        }
        micros.sort_by(f64::total_cmp);
        let at = |share: usize| micros.get(ROUNDS * share / 100).copied().unwrap_or_default();
        writeln!(
            out,
            "{count:>6} policies: median {:.1} µs, p99 {:.1} µs; compiled in {compiled:.1?}",
            at(50),
            at(99)
        )?;
    }
    Ok(())
}
