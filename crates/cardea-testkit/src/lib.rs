//! What tests need around Cardea: a whole one with its users, neighbours that misbehave, wires that break, processes
//! that die, and a checker of what came of it all.

pub mod chaos;
pub mod history;
pub mod kill;
pub mod machine;
pub mod model;
pub mod port;
pub mod postgres;
mod reviewed;
pub mod world;

pub use reviewed::reviewed;
pub use world::World;
