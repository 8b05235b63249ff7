//! One binary for all integration tests.
mod backend;
mod fixture;
mod statements;
