//! Runs the program as users do: as a process in a temporary folder, without the environment of the tests.
use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_gatherum");

/// A temporary folder that is removed at the end of the test.
pub struct Sandbox(TempDir);

/// The result of a process.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Sandbox {
    pub fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A command in this folder.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.0.path()).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null());
        command
    }

    /// The program with arguments, which are separated by blanks.
    pub fn gatherum(&self, arguments: &str) -> Command {
        let mut command = self.command(PROGRAM);
        command.args(arguments.split_whitespace());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &str) -> Ran {
        run(&mut self.gatherum(arguments))
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Ran {
    let output = command.output().expect("a program that starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ran { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A server that is stopped at the end of the test.
pub struct Served {
    pub address: SocketAddr,
    pub child: Child,
}

impl Served {
    /// Starts a server and waits for the line that says where it is.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a program that starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let address = line.split_once("GraphQL http://").and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
        Self { address: address.unwrap_or_else(|| panic!("no address in {line:?}")), child }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
