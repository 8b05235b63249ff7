//! `gatherum serve`.
use anyhow::Result;

use super::{Outcome, output, system};
use crate::{
    access::Accounts,
    app::{App, stop_signal},
    config::Config,
    transfer,
};

/// Serving.
#[derive(clap::Args, Default)]
pub(super) struct Args {
    /// Load a small catalogue of developers' tools when the database is empty
    #[arg(long)]
    pub(super) demo: bool,
    /// Listen on an address that others can reach although there is no account, so that everyone may do everything
    #[arg(long)]
    pub(super) insecure_open: bool,
}

pub(super) async fn run(args: Args, config: &Config) -> Result<Outcome> {
    system::raise_open_files();
    let mut config = config.clone();
    config.http.insecure_open |= args.insecure_open;
    let app = App::build(&config).await?;
    if args.demo {
        let owner = Accounts::new(app.db()).users().await?.first().map(|user| user.id);
        if !transfer::load_demo(app.db(), owner).await? {
            output::note("--demo: the database holds artifacts already and is served as it is");
        }
    }
    let address = app.address()?;
    let base = format!("http://{address}");
    let console = if config.http.graphiql { format!("GraphiQL {base}/graphiql · ") } else { String::new() };
    // That nobody reads it is no reason not to serve.
    let _ = output::say(&format!(
        "{console}GraphQL {base}/graphql · schema {base}/schema.graphql · health {base}/health/ready"
    ));
    app.run(stop_signal()).await;
    Ok(Outcome::Done)
}
