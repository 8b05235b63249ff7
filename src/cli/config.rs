//! `gatherum config`.

/// Settings.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Print the settings in force with their sources, secrets left out
    Show,
    /// Print a file with every setting at its default
    Example,
}
