//! `cardea cache clear` and `cardea cache stats`: the caches of a running server.

use http::Method;
use serde_json::Value;

use super::{
    CacheClear, End, Out,
    client::{self, Asked},
};

pub(super) fn clear(words: &CacheClear, server: &Asked, out: &mut Out<'_>) -> End {
    let query = match words {
        CacheClear { tag: Some(tag), .. } => format!("?tag={}", client::encoded(tag)),
        CacheClear { user: Some(user), .. } => format!("?user={}", client::encoded(user)),
        CacheClear { all: true, .. } => "?all=true".to_owned(),
        _ => String::new(),
    };
    let path = format!("/api/v1/cache{query}");
    match client::ask(Method::DELETE, server, &path, None) {
        Ok(told) if out.json => out.json(&told),
        Ok(told) => {
            out.note(format!(
                "forgotten: {}",
                told.get("cleared").and_then(Value::as_str).unwrap_or_default()
            ));
            if told.get("at_once").and_then(Value::as_bool) == Some(false) {
                out.note("the cache's server is away; it is taken out there as soon as it is back");
            }
        }
        Err(error) => return error.tell(out),
    }
    End::Good
}

pub(super) fn stats(server: &Asked, out: &mut Out<'_>) -> End {
    let told = match client::ask(Method::GET, server, "/api/v1/cache", None) {
        Ok(told) => told,
        Err(error) => return error.tell(out),
    };
    if out.json {
        out.json(&told);
        return End::Good;
    }
    let columns = [
        "agent",
        "layer",
        "hits",
        "misses",
        "vetoes",
        "forged",
        "checks",
        "doubts",
        "errors",
        "saved_tokens",
        "saved_micros",
    ];
    print(&told, "layers", &columns, out);
    out.line("");
    print(&told, "scopes", &["agent", "error_bound", "strain", "checked_micros_today"], out);
    if told.get("reachable").and_then(Value::as_bool) == Some(false) {
        out.note("the cache's server does not answer");
    }
    End::Good
}

fn print(told: &Value, list: &str, columns: &[&str], out: &mut Out<'_>) {
    let cell = |line: &Value, column: &&str| match line.get(column) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if number.is_f64() => {
            format!("{:.4}", number.as_f64().unwrap_or_default())
        }
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let lines = told.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
    let head = columns.iter().map(|column| column.replace('_', " ")).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head)
        .chain(lines.iter().map(|line| columns.iter().map(|column| cell(line, column)).collect()))
        .collect();
    out.table(&rows);
}
