//! The `gatherum` command.
use std::process::ExitCode;

fn main() -> ExitCode {
    gatherum::cli::run(std::env::args_os())
}
