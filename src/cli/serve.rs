//! `gatherum serve`.
use anyhow::Result;

use super::{Outcome, output, system};
use crate::{
    access::Accounts,
    app::{App, stop_signal},
    config::Config,
    transfer,
};

/// Arguments of `gatherum serve`.
#[derive(clap::Args, Default)]
pub(super) struct Args {
    /// Import a small demo catalogue if the database is empty
    #[arg(long)]
    pub(super) demo: bool,
    /// Serve a non-loopback address or host name without accounts: everyone who can reach it may read and write everything
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
            output::note("--demo: not imported, because the database has artifacts already");
        }
    }
    let address = app.address()?;
    let base = format!("http://{address}");
    let graphiql = if config.http.graphiql { format!("GraphiQL {base}/graphiql · ") } else { String::new() };
    // A closed standard output must not prevent serving.
    let _ = output::say(&format!(
        "{graphiql}GraphQL {base}/graphql · schema {base}/schema.graphql · health {base}/health/ready"
    ));
    app.run(stop_signal()).await;
    Ok(Outcome::Done)
}
