//! Guard profiles of the installation: the files of `guard.dir`.

use cardea_core::{
    form::{Place, Problem},
    guard::{Action, Engine, Profile, Surface},
};

use super::{Config, folder::folder, report::FileProblems};

/// Reads the profiles of the folder, and the problems of invalid files.
pub(super) fn read(config: &Config) -> (Vec<Profile>, Vec<FileProblems>) {
    let (mut profiles, mut broken) = (Vec::new(), Vec::new());
    let files = folder(&config.guard.dir).unwrap_or_else(|unread| {
        broken.push(unread);
        Vec::new()
    });
    for path in &files {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let made = match std::fs::read_to_string(path) {
            Ok(text) => one(&stem, &text).map_err(|why| (text, why)),
            Err(error) => Err((String::new(), format!("cannot be read: {error}"))),
        };
        match made {
            Ok(profile) => profiles.push(profile),
            Err((text, why)) => {
                let problem = Problem::new("", why, Place::Nowhere);
                broken.push(FileProblems::new(&path.display().to_string(), &text, &[], vec![problem]));
            }
        }
    }
    (profiles, broken)
}

/// Returns the names of the folder's files, invalid profiles included: those are reported on their own.
pub(super) fn names(config: &Config) -> Vec<String> {
    let files = folder(&config.guard.dir).unwrap_or_default();
    files.iter().filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect()
}

/// Reads a profile that can be used under the name of its file.
fn one(stem: &str, text: &str) -> Result<Profile, String> {
    let profile = Profile::parse(text).map_err(|error| error.to_string())?;
    if profile.name != stem {
        return Err(format!("`name` is \"{}\", but agents know the file as \"{stem}\"", profile.name));
    }
    if Profile::names().any(|name| name == stem) {
        return Err(format!("\"{stem}\" is the name of a profile that ships; choose another one"));
    }
    Engine::new(&profile).map_err(|error| error.to_string())?;
    masks_arguments(&profile).map_or(Ok(profile), Err)
}

/// Returns what is wrong with a rule that masks arguments and nothing else.
fn masks_arguments(profile: &Profile) -> Option<String> {
    let only = |surfaces: &[Surface], action| surfaces == [Surface::ToolArguments] && action == Action::Mask;
    let rule = profile.rules.iter().position(|rule| only(&rule.surfaces, rule.action));
    let rule = rule.map(|at| format!("`[[rule]]` number {}", at + 1));
    let deny = profile.deny.iter().find(|deny| only(&deny.surfaces, deny.action));
    let place = rule.or_else(|| deny.map(|deny| format!("`[[deny]]` \"{}\"", deny.name)))?;
    Some(format!(
        "{place}: `action = \"mask\"` for `tool_arguments`: arguments cannot be masked, since that would be another call; \
         write \"refuse\" if the call shall not be made, \"warn\" if policy shall decide"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_masks_only_arguments_is_told_what_to_say_instead() {
        let with = |rule: &str| one("desk", &format!("name = \"desk\"\n{rule}"));
        let rule = |surfaces: &str, action: &str| {
            with(&format!("[[rule]]\nkinds = [\"email\"]\nsurfaces = {surfaces}\naction = \"{action}\""))
        };
        let told = rule("[\"tool_arguments\"]", "mask").unwrap_err();
        assert!(told.contains("`[[rule]]` number 1") && told.contains("write \"refuse\""), "{told}");
        let deny = "[[deny]]\nname = \"rivals\"\nphrases = [\"acme\"]\nsurfaces = [\"tool_arguments\"]\naction = \"mask\"";
        assert!(with(deny).unwrap_err().contains("`[[deny]]` \"rivals\""));
        for action in ["refuse", "warn", "pass"] {
            assert!(rule("[\"tool_arguments\"]", action).is_ok());
        }
        // On other surfaces it masks; on arguments it refuses.
        assert!(rule("[\"tool_arguments\", \"user\"]", "mask").is_ok() && rule("[]", "mask").is_ok());
    }
}
