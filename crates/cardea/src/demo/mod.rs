//! `cardea demo`: a complete scenario on this machine, played as real HTTP requests through the real API.
//!
//! It starts the customer-operations MCP server and Cardea itself on loopback ports, in a folder of its own, and plays
//! scene after scene. The first scene with an unexpected result ends it with its name. It needs no key, no network and
//! no installed software.

mod client;
mod stage;
mod story;

use std::io::IsTerminal as _;

use crate::commands::{
    cli::Demo,
    out::{End, Out},
};
use stage::Stage;

/// An unexpected result, in words.
type Wrong = String;

/// Plays the scenario, and keeps running afterwards if the user may want to continue.
pub(crate) fn demo(demo: &Demo, out: &mut Out<'_>) -> End {
    if out.json {
        out.error("misused", "the demo is a story for people: leave --json out");
        return End::Misused;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out.note(format!("cannot start: {error}"));
            return End::Unreachable;
        }
    };
    let stay = demo.stay || (!demo.no_stay && std::io::stdout().is_terminal());
    match runtime.block_on(play(demo, stay, out)) {
        Ok(()) => End::Good,
        Err(wrong) => {
            out.note(format!("\nThe story went otherwise: {wrong}"));
            End::Bad
        }
    }
}

async fn play(demo: &Demo, stay: bool, out: &mut Out<'_>) -> Result<(), Wrong> {
    let mut stage = Stage::set(demo.dir.as_deref()).await?;
    stage.tell(out);
    story::play(&mut stage, out).await?;
    out.line("");
    out.line("The story went as it should.");
    if stay {
        stage.invite(out).await?;
        drop(tokio::signal::ctrl_c().await);
    }
    stage.clear(demo.dir.is_none() && !stay).await;
    Ok(())
}
