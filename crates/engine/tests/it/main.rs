//! Tests of the engine over data in memory.
mod connection;
mod dispatch;
mod examples;
mod execution;
mod recording;
mod schema;
mod subscription;
