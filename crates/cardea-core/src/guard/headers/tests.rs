use proptest::prelude::*;

use super::*;

/// Does the same as [`Headers::told`], with one comparison per word.
fn told_slowly(name: &str) -> Told {
    let words = || name.split(|c: char| !c.is_alphanumeric());
    let is_word = |word: &str| words().any(|one| one == word);
    let tells =
        |part: &str| if part.len() > 3 || !part.is_ascii() { name.contains(part) } else { is_word(part) };
    let secret = |word: &str| match word {
        word if word.contains(['_', ' ']) => name.contains(word),
        "password" | "passwort" | "kennwort" | "passwd" => words().any(|one| one.ends_with(word)),
        _ => is_word(word),
    };
    Told {
        tells: TELLING.iter().position(|(part, _)| tells(part)),
        secret: SECRETS.iter().position(|(word, _)| secret(word)),
        about: words().any(|one| ABOUT.contains(&one)),
        name: NAMES.contains(&name) || is_word("name"),
        role: ROLES
            .iter()
            .any(|role| name.strip_prefix(role).is_some_and(|rest| rest.chars().all(|c| c == 's'))),
    }
}

proptest! {
    #[test]
    fn one_walk_over_a_name_finds_what_each_list_says(
        parts in prop::collection::vec((0..600_usize, prop::sample::select(&["", "_", " ", "-", "s", "x", "е", "7"][..])), 1..4),
    ) {
        let tells = TELLING.iter().map(|(part, _)| *part);
        let secrets = SECRETS.iter().map(|(word, _)| *word);
        let all: Vec<&str> =
            tells.chain(secrets).chain([ABOUT, NAMES, ROLES].into_iter().flatten().copied()).chain(["", "qu"]).collect();
        let name: String = parts.iter().flat_map(|(word, joint)| [all[word % all.len()], joint]).collect();
        let headers = Headers::build().unwrap();
        prop_assert_eq!(headers.told(&name), told_slowly(&name), "{}", name);
        prop_assert_eq!(headers.told(&name.to_ascii_uppercase()), told_slowly(&name), "{}", name);
    }
}
