//! Parsing of SQL texts, as little as both engines need.

/// Rewrites `$3` as `?3`; `None` if the placeholders are already in order.
///
/// PostgreSQL counts placeholders by their number; SQLite takes `$3` for a name and numbers names in order of
/// appearance. Text in quotes stays as it is.
pub(crate) fn numbered(sql: &str) -> Option<String> {
    let mut result = String::with_capacity(sql.len());
    let (mut quote, mut in_order, mut highest) = (None, true, 0_u32);
    let mut chars = sql.chars().peekable();
    while let Some(char) = chars.next() {
        match (quote, char) {
            (None, '\'' | '"') => quote = Some(char),
            (Some(open), close) if open == close => quote = None,
            (None, '$') => {
                let mut number = 0_u32;
                while let Some(digit) = chars.peek().and_then(|next| next.to_digit(10)) {
                    number = number.saturating_mul(10).saturating_add(digit);
                    chars.next();
                }
                in_order &= number <= highest + 1;
                highest = highest.max(number);
                result.push('?');
                result.push_str(&number.to_string());
                continue;
            }
            _ => {}
        }
        result.push(char);
    }
    (!in_order).then_some(result)
}

/// Returns whether the statement only reads.
pub(crate) fn is_select(sql: &str) -> bool {
    sql.trim_start().as_bytes().get(..6).is_some_and(|word| word.eq_ignore_ascii_case(b"select"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn placeholders_are_numbered_only_where_sqlite_would_count_otherwise() {
        assert_eq!(numbered("SELECT $1, $2, $1"), None);
        assert_eq!(numbered("SELECT $2, $1").as_deref(), Some("SELECT ?2, ?1"));
        assert_eq!(
            numbered("SELECT '$2 it''s', \"$3\", $2").as_deref(),
            Some("SELECT '$2 it''s', \"$3\", ?2")
        );
        assert!(is_select("\n  Select 1") && !is_select("UPDATE t SET a = 1") && !is_select("sel"));
    }

    proptest! {
        #[test]
        fn text_without_placeholders_is_never_changed(sql in "[a-z'\" ?(),=ü]{0,60}") {
            prop_assert_eq!(numbered(&sql), None);
        }
    }
}
