//! Stories about credentials: who gets in, and who does not.
#![cfg(test)]

mod dpop;
mod keys;
mod provider;
mod rotation;
mod tenants;
mod tokens;
mod world;
