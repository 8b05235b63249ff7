//! One binary for all integration tests. What cannot run here says that it was skipped.
mod app;
mod backend;
mod cases;
mod fixture;
mod following;
mod hostile;
mod http;
mod migrations;
mod modules;
mod plans;
mod schema;
mod specification;
mod statements;
mod timeouts;
mod transfer;
mod walk;
mod writing;
