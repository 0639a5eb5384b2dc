//! `cardea person erase`: erases a person's data on a running server.

use std::io::BufRead;

use http::Method;
use serde_json::json;

use super::{
    End, Out, PersonErase,
    client::{self, Asked},
};

/// Asks for confirmation first: the name must be typed once more. Without a terminal, `--yes` is required.
pub(super) fn erase(
    words: &PersonErase,
    server: &Asked,
    mut lines: impl BufRead,
    asks: bool,
    out: &mut Out<'_>,
) -> End {
    let user = words.user.as_str();
    if !words.yes {
        if !asks {
            out.note("this cannot be undone and there is nobody to ask: say --yes");
            return End::Misused;
        }
        out.note(format!(
            "Everything that `{user}` said and all that is sealed for them will be gone, in backups too."
        ));
        out.note("Write the name once more to go on:");
        let mut line = String::new();
        if lines.read_line(&mut line).is_err() || line.trim() != user {
            out.note("nothing was done");
            return End::Bad;
        }
    }
    if let "." | ".." = user {
        // WHY: `.` and `..` in a path mean another place, however they are written (RFC 3986, section 5.2.4).
        out.note(format!("a user with the name `{user}` cannot be named in an address"));
        return End::Misused;
    }
    let which = words.issuer.as_ref().map(|issuer| format!("?issuer={}", client::encoded(issuer)));
    let path = format!("/api/v1/people/{}{}", client::encoded(user), which.unwrap_or_default());
    match client::ask(Method::DELETE, server, &path, None) {
        Ok(_) if out.json => out.json(&json!({ "erased": user })),
        Ok(_) => out.note(format!(
            "{user} is erased in your tenant; tokens and keys of theirs are refused from now on"
        )),
        Err(error) => return error.tell(out),
    }
    End::Good
}
