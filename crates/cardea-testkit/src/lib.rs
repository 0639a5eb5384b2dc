//! Test environment of Cardea: a complete installation with users, neighbours that misbehave, a chaos proxy, processes
//! to kill, and a checker of the results.

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
