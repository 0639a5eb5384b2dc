//! `cardea init DIR`: creates a starter project.

use std::{fs, io, path::Path};

use super::{End, Out};

/// The files to write, as path and text. The texts are files of their own, so that they can be read and tested.
pub(super) const FILES: &[(&str, &str)] = &[
    ("cardea.toml", include_str!("start/cardea.toml")),
    ("agents/support.toml", include_str!("start/agents/support.toml")),
    ("connectors/github.toml", include_str!("start/connectors/github.toml")),
    ("policies/base.cedar", include_str!("start/policies/base.cedar")),
    ("policies/tools.json", include_str!("start/policies/tools.json")),
    ("policies/tests/base.toml", include_str!("start/policies/tests/base.toml")),
    ("README.md", include_str!("start/README.md")),
    (".gitignore", "/data\n"),
];

pub(super) fn init(dir: &Path, out: &mut Out<'_>) -> End {
    match write(dir) {
        Ok(()) => {}
        Err(error) => {
            out.note(format!("{} cannot be used: {error}", dir.display()));
            return End::Unreachable;
        }
    }
    if out.json {
        let files: Vec<&str> = FILES.iter().map(|(path, _)| *path).collect();
        out.json(&serde_json::json!({ "dir": dir, "files": files }));
        return End::Good;
    }
    for (path, _) in FILES {
        out.line(format!("wrote {}", dir.join(path).display()));
    }
    out.line(format!("\nnext: cd {} && cardea check, then read README.md", dir.display()));
    End::Good
}

fn write(dir: &Path) -> io::Result<()> {
    if dir.exists() && !dir.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "it is a file; name a folder that is new or empty",
        ));
    }
    fs::create_dir_all(dir)?;
    if fs::read_dir(dir)?.next().is_some() {
        let message = "it is not empty, and nothing there is overwritten";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    for (path, text) in FILES {
        let path = dir.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}
