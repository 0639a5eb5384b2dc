//! The form of a policy in which the arguments are open.
//!
//! A list shows what the caller could call with some arguments. Each condition on arguments is therefore resolved in
//! favour of the caller: a `permit` as if it held, a `forbid` as if it did not. All other conditions stay. The result
//! permits at least whatever the policy would permit for any arguments (nothing callable is hidden), and differs from
//! the policy only where arguments decide (nothing is shown because of a role that the caller does not have).

use serde_json::{Value, json};

/// Rewrites the JSON form of a policy; `None` if it does not read arguments and can be used as it is.
pub(super) fn open(policy: &Value) -> Option<Value> {
    let conditions = policy.get("conditions")?.as_array()?;
    if !conditions.iter().any(looks_at_arguments) {
        return None;
    }
    // A permit should hold, a forbid should not.
    let wish = policy.get("effect")?.as_str()? == "permit";
    let opened: Vec<Value> = conditions
        .iter()
        .map(|condition| {
            let kind = condition.get("kind").and_then(Value::as_str).unwrap_or("when");
            let body = condition.get("body").unwrap_or(&Value::Null);
            let wish = if kind == "unless" { !wish } else { wish };
            json!({ "kind": kind, "body": wished(body, wish) })
        })
        .collect();
    let mut policy = policy.clone();
    if let Value::Object(policy) = &mut policy {
        policy.insert("conditions".to_owned(), Value::Array(opened));
    }
    Some(policy)
}

/// Replaces everything that depends on arguments in favour of `wish`.
fn wished(expression: &Value, wish: bool) -> Value {
    if !looks_at_arguments(expression) {
        return expression.clone();
    }
    let both = |operator: &str, one: &Value, two: &Value| json!({ operator: { "left": wished(one, wish), "right": wished(two, wish) } });
    let Some((operator, parts)) = expression.as_object().and_then(|object| object.iter().next()) else {
        return json!({ "Value": wish });
    };
    let part = |name: &str| parts.get(name).unwrap_or(&Value::Null);
    match operator.as_str() {
        "&&" | "||" => both(operator, part("left"), part("right")),
        "!" => json!({ "!": { "arg": wished(part("arg"), !wish) } }),
        "if-then-else" if !looks_at_arguments(part("if")) => json!({ "if-then-else": {
            "if": part("if"), "then": wished(part("then"), wish), "else": wished(part("else"), wish),
        } }),
        // Either branch could be taken: the better one for `wish` counts.
        "if-then-else" => both(if wish { "||" } else { "&&" }, part("then"), part("else")),
        _ => json!({ "Value": wish }),
    }
}

/// Returns whether the expression reads `context.args`, or the context as a whole.
fn looks_at_arguments(expression: &Value) -> bool {
    let is_context = |value: &Value| value.get("Var").and_then(Value::as_str) == Some("context");
    match expression {
        _ if is_context(expression) => true,
        Value::Object(object) => object.iter().any(|(operator, parts)| match parts.get("left") {
            Some(left) if matches!(operator.as_str(), "." | "has") && is_context(left) => {
                parts.get("attr").and_then(Value::as_str).is_none_or(|attr| attr == "args")
            }
            _ => looks_at_arguments(parts),
        }),
        Value::Array(items) => items.iter().any(looks_at_arguments),
        _ => false,
    }
}
