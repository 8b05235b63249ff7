//! `gatherum config`.

/// Subcommands of `gatherum config`.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Print the effective settings with their sources, without secrets
    Show,
    /// Print a settings file with the description and default of every setting
    Example,
}
