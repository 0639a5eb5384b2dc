//! "Did you mean": the known name that is most similar to a written one.

/// Returns the candidate that was probably meant, if one is similar enough.
///
/// Similar means that at most a third of the letters differ (swapped neighbours count once), or that one begins with
/// the other. Capitals, `-` and `_` make no difference.
#[must_use]
pub fn closest<'c>(written: &str, known: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let written = plain(written);
    if written.is_empty() || written.len() > 80 {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for name in known {
        let other = plain(name);
        let long = written.chars().count().max(other.chars().count());
        let mut steps = strsim::damerau_levenshtein(&written, &other);
        if steps > 1 && written.len().min(other.len()) >= 3 && shares_beginning(&written, &other) {
            steps = 2;
        }
        let near = steps <= (long / 3).max(1) || (steps == 2 && long >= 4);
        if near && best.is_none_or(|(least, _)| steps < least) {
            best = Some((steps, name));
        }
    }
    best.map(|(_, name)| name)
}

fn shares_beginning(a: &str, b: &str) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_slip_finds_the_name_that_was_meant_and_a_stranger_finds_nothing() {
        let known = ["bind", "public_url", "max_body", "drain"];
        assert_eq!(closest("bnid", known), Some("bind"));
        assert_eq!(closest("public-url", known), Some("public_url"));
        assert_eq!(closest("max_body_size", known), Some("max_body"));
        assert_eq!(closest("DRAIN", known), Some("drain"));
        assert_eq!(closest("telemetry", known), None);
        assert_eq!(closest("", known), None);
    }
}
