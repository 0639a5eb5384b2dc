//! Verifies an audit file of a tool server: `mcp-audit audit.jsonl --key-file key [--checkpoint
//! kept-apart.checkpoint]`.
//!
//! Without `--key-file` the key is read from the environment variable `MCP_AUDIT_KEY`. Exits with 0 if the log holds,
//! with 1 and the first entry that does not, and with 2 if it could not be checked. An incomplete last line, as of a
//! log that is being written, does not count.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use cardea_mcp::{
    SecretString,
    audit::{Fault, verify},
};

const USAGE: &str = "usage: mcp-audit LOG [--key-file FILE] [--checkpoint FILE]\n\n\
    LOG                the audit file\n\
    --key-file FILE    its key; else the environment variable MCP_AUDIT_KEY\n\
    --checkpoint FILE  a checkpoint that was kept apart from the log: only with it is a cut-off end seen";

/// The parsed command line.
#[derive(Default)]
struct Asked {
    log: Option<PathBuf>,
    key: Option<PathBuf>,
    checkpoint: Option<PathBuf>,
}

fn asked(words: impl Iterator<Item = OsString>) -> Result<Asked, String> {
    let (mut asked, mut words) = (Asked::default(), words);
    while let Some(word) = words.next() {
        let place = match word.to_str() {
            Some("--help" | "-h") => return Err(USAGE.to_owned()),
            Some("--key-file") => &mut asked.key,
            Some("--checkpoint") => &mut asked.checkpoint,
            Some(flag) if flag.starts_with('-') => return Err(format!("`{flag}` is not known\n\n{USAGE}")),
            _ if asked.log.is_none() => {
                asked.log = Some(word.into());
                continue;
            }
            _ => return Err(format!("one log at a time\n\n{USAGE}")),
        };
        let value =
            words.next().ok_or_else(|| format!("`{}` needs a file\n\n{USAGE}", word.to_string_lossy()))?;
        *place = Some(value.into());
    }
    Ok(asked)
}

fn checked(asked: Asked) -> Result<Result<String, String>, String> {
    let log = asked.log.ok_or(USAGE)?;
    let key = match &asked.key {
        Some(file) => {
            fs::read_to_string(file).map_err(|why| format!("cannot read `{}`: {why}", file.display()))?
        }
        None => std::env::var("MCP_AUDIT_KEY").map_err(|_| "no key: set MCP_AUDIT_KEY or give --key-file")?,
    };
    if let Some(checkpoint) = asked.checkpoint.as_deref().filter(|checkpoint| !checkpoint.exists()) {
        return Err(format!("there is no checkpoint `{}`", checkpoint.display()));
    }
    let key = SecretString::from(key.trim_end_matches(['\r', '\n']).to_owned());
    match verify(&log, asked.checkpoint.as_deref(), &key) {
        Ok(held) => {
            let end = if asked.checkpoint.is_some() {
                "its end is the checkpoint's or later"
            } else {
                "whether its end was cut off only a checkpoint can tell"
            };
            let torn = if held.is_torn {
                "; the line after them has no end yet and was left out: it is being written, or was cut off"
            } else {
                ""
            };
            Ok(Ok(format!("`{}` holds: {} entries; {end}{torn}", log.display(), held.sequence)))
        }
        Err(fault @ (Fault::Chain(_) | Fault::Line(_))) => {
            Ok(Err(format!("`{}` does not hold: {fault}", log.display())))
        }
        Err(fault) => Err(format!("`{}`: {fault}", log.display())),
    }
}

fn main() -> ExitCode {
    let (text, code) = match asked(std::env::args_os().skip(1)).and_then(checked) {
        Ok(Ok(good)) => (good, 0),
        Ok(Err(broken)) => (broken, 1),
        Err(why) => (why, 2),
    };
    // WHY: if nothing reads the output any more, the exit code still tells.
    let _ = writeln!(io::stdout(), "{text}");
    ExitCode::from(code)
}
