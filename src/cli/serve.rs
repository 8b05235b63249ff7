//! `gatherum serve`.
use anyhow::Result;

use super::Outcome;
use crate::{
    app::{App, stop_signal},
    config::Config,
    transfer,
};

/// Serving.
#[derive(clap::Args, Default)]
pub(super) struct Args {
    /// Load a small catalogue of developers' tools when the database is empty
    #[arg(long)]
    demo: bool,
}

pub(super) async fn run(args: Args, config: &Config) -> Result<Outcome> {
    let app = App::build(config).await?;
    if args.demo {
        transfer::load_demo(app.db()).await?;
    }
    let address = app.address()?;
    let base = format!("http://{address}");
    let console = if config.http.graphiql { format!("GraphiQL {base}/graphiql · ") } else { String::new() };
    println!("{console}GraphQL {base}/graphql · schema {base}/schema.graphql · health {base}/health/ready");
    app.run(stop_signal()).await;
    Ok(Outcome::Done)
}
