//! `gatherum schema`.
use anyhow::Result;

use super::{Outcome, output};
use crate::{
    catalog::{Mutation, Query},
    graphql,
};

/// The schema.
#[derive(clap::Args)]
pub(super) struct Args {
    /// As the JSON of the standard introspection query
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args) -> Result<Outcome> {
    let text = if args.json {
        graphql::introspection_json::<Query, Mutation>().await?
    } else {
        graphql::sdl::<Query, Mutation>()
    };
    output::print(&text)?;
    Ok(Outcome::Done)
}
