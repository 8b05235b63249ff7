//! `gatherum schema`.
use anyhow::Result;

use super::{Outcome, output};
use crate::{
    catalog::{Mutation, Query, Subscription},
    graphql,
};

/// Arguments of `gatherum schema`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print the JSON result of the standard introspection query
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args) -> Result<Outcome> {
    let text = if args.json {
        graphql::introspection_json::<Query, Mutation, Subscription>()?
    } else {
        graphql::sdl::<Query, Mutation, Subscription>()
    };
    output::print(&text)?;
    Ok(Outcome::Done)
}
