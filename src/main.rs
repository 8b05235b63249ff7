//! The `gatherum` command.
use std::process::ExitCode;

/// Requests allocate and free many small blocks, and so does SQLite, which has this allocator too. docs/performance.md
/// says what it is worth.
#[cfg(all(feature = "jemalloc", not(target_env = "msvc")))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    gatherum::cli::run(std::env::args_os())
}
