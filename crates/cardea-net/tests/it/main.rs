//! Stories about requests that leave, and about those that must not.
#![cfg(test)]

mod bounds;
mod guard;
mod silent;
mod world;
