//! Output of commands. The print macros of the standard library would panic if standard output is closed.
use std::io::{self, Stdout, StdoutLock, Write};

/// Exit status after standard output was closed: the status that a shell reports for a program that SIGPIPE terminated.
pub(super) const STATUS_CLOSED: u8 = 141;

/// The reader closed standard output, as `head` does after enough lines. The program exits without an error message.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
struct Closed;

/// Standard output, whose closing is distinguished from other errors.
pub(super) struct Output<W>(W);

impl Output<Stdout> {
    pub(super) fn new() -> Self {
        Self(io::stdout())
    }

    pub(super) fn lock(self) -> Output<StdoutLock<'static>> {
        Output(self.0.lock())
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(mark_closed)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(mark_closed)
    }
}

fn mark_closed(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, Closed),
        _ => error,
    }
}

/// Whether a command failed because standard output was closed.
pub(super) fn is_closed(error: &anyhow::Error) -> bool {
    let inner = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<Closed>())
    };
    error.chain().any(inner)
}

/// Writes a text to standard output.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut output = Output::new().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

/// Writes a line to standard output.
pub(super) fn say(line: &str) -> io::Result<()> {
    print(&format!("{line}\n"))
}

/// Writes a line to standard error. Errors are ignored: a closed standard error must not stop the program.
pub(super) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
