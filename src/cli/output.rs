//! What commands write. The macros of the standard library would panic where nobody reads any more.
use std::io::{self, Stdout, StdoutLock, Write};

/// The exit status after the reader of standard output has left: what a shell shows for a program that SIGPIPE ended.
pub(super) const STATUS_CLOSED: u8 = 141;

/// Whoever read standard output has left, as `head` does when it has enough. Nobody is there to be told.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
struct Closed;

/// Standard output, whose end is told from all other faults.
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
        self.0.write(bytes).map_err(told_apart)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(told_apart)
    }
}

fn told_apart(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, Closed),
        _ => error,
    }
}

/// Whether a command failed because nobody reads its output any more.
pub(super) fn is_closed(error: &anyhow::Error) -> bool {
    let inner = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<Closed>())
    };
    error.chain().any(inner)
}

/// Writes a text, all of it.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut output = Output::new().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

/// Writes a line.
pub(super) fn say(line: &str) -> io::Result<()> {
    print(&format!("{line}\n"))
}

/// Writes a line to standard error. That nobody reads it is no reason to stop.
pub(super) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
