//! The `gatherum` command.
use std::process::ExitCode;

/// Requests and SQLite allocate many small blocks, which jemalloc serves faster; docs/performance.md has the measurements.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    gatherum::cli::run(std::env::args_os())
}
