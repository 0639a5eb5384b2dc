//! Finds comparisons of `context.time` with times that never come.

use serde_json::Value;

/// The parts of `context.time`: first value, last value, and unit.
const PARTS: [(&str, i64, i64, &str); 3] = [
    ("hour", 0, 23, "hours are 0 to 23, in UTC"),
    ("minute", 0, 59, "minutes are 0 to 59"),
    ("weekday", 1, 7, "Monday is 1 and Sunday 7, in UTC"),
];

/// Reports each such comparison in an expression that never holds, or always, with the reason.
pub(super) fn never(expression: &Value, found: &mut Vec<(String, &'static str)>) {
    match expression {
        Value::Array(all) => all.iter().for_each(|one| never(one, found)),
        Value::Object(members) => {
            for (operator, sides) in members {
                if let (Some(left), Some(right)) = (sides.get("left"), sides.get("right")) {
                    compared(operator, left, right, found);
                }
                never(sides, found);
            }
        }
        _ => {}
    }
}

fn compared(operator: &str, left: &Value, right: &Value, found: &mut Vec<(String, &'static str)>) {
    if let Some((name, from, to, help)) = part(right).filter(|_| operator == "contains") {
        let listed = left.get("Set").or_else(|| left.get("Value")).and_then(Value::as_array);
        let odd =
            listed.into_iter().flatten().filter_map(number).filter(|number| !(from..=to).contains(number));
        found.extend(odd.map(|number| (format!("`context.time.{name}` is never {number}"), help)));
        return;
    }
    let (place, number, turned) = match (part(left), number(left), part(right), number(right)) {
        (Some(place), _, _, Some(number)) => (place, number, false),
        (_, Some(number), Some(place), _) => (place, number, true),
        _ => return,
    };
    let (name, from, to, help) = place;
    let holds = |value: i64| {
        let (left, right) = if turned { (number, value) } else { (value, number) };
        Some(match operator {
            "==" => left == right,
            "!=" => left != right,
            "<" => left < right,
            "<=" => left <= right,
            ">" => left > right,
            ">=" => left >= right,
            _ => return None,
        })
    };
    let written = if turned {
        format!("{number} {operator} context.time.{name}")
    } else {
        format!("context.time.{name} {operator} {number}")
    };
    let all: Option<Vec<bool>> = (from..=to).map(holds).collect();
    match all {
        Some(all) if all.iter().all(|holds| !holds) => found.push((format!("`{written}` never holds"), help)),
        // A bound that always holds, such as `hour >= 0`, does no harm.
        Some(all) if operator == "!=" && all.iter().all(|holds| *holds) => {
            found.push((format!("`{written}` always holds"), help));
        }
        _ => {}
    }
}

/// Returns the part of `context.time` that this expression reads.
fn part(expression: &Value) -> Option<(&'static str, i64, i64, &'static str)> {
    let of = expression.get(".")?;
    let time = of.get("left")?.get(".")?;
    let of_context =
        time.get("left")?.get("Var")?.as_str()? == "context" && time.get("attr")?.as_str()? == "time";
    let name = of.get("attr")?.as_str().filter(|_| of_context)?;
    PARTS.into_iter().find(|(part, ..)| *part == name)
}

fn number(expression: &Value) -> Option<i64> {
    match expression.get("neg") {
        Some(inner) => number(inner.get("arg")?)?.checked_neg(),
        None => expression.get("Value").unwrap_or(expression).as_i64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_never_comes_is_found() {
        let found = |condition: &str| {
            let text = format!("forbid (principal, action, resource) when {{ {condition} }};");
            let policy: cedar_policy::Policy = text.parse().unwrap();
            let mut found = Vec::new();
            never(&policy.to_json().unwrap(), &mut found);
            found.len()
        };
        for odd in [
            "context.time.weekday == 0",
            "context.time.weekday != 8",
            "context.time.hour >= 24",
            "24 <= context.time.hour",
            "context.time.minute > 59",
            "context.time.hour < 0",
            "context.time.hour == -1",
            "[0, 6].contains(context.time.weekday)",
            "context.via == \"mcp\" || (if context.time.hour == 24 then true else false)",
        ] {
            assert_eq!(found(odd), 1, "{odd}");
        }
        for good in [
            "context.time.weekday == 7",
            "context.time.hour >= 0 && context.time.hour < 24",
            "23 <= context.time.hour",
            "[6, 7].contains(context.time.weekday)",
            "context.args.hour == 77",
            "context.time.minute == context.time.hour",
        ] {
            assert_eq!(found(good), 0, "{good}");
        }
    }
}
