//! What tests need around Cardea: neighbours that misbehave, wires that break, processes that die, and a checker of
//! what came of it all.

pub mod chaos;
pub mod history;
pub mod kill;
pub mod model;
