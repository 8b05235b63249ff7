//! Checks of settings that are valid individually but conflict with each other.
use super::Finding;
use crate::config::Config;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let (http, limits, database) = (&config.http, &config.limits, &config.database);
    // Condition, finding, remedy.
    let conflicts = [
        (
            http.body_bytes > http.body_bytes_total,
            "http.body_bytes is above http.body_bytes_total: the largest bodies are always rejected as OVERLOADED",
            "raise http.body_bytes_total",
        ),
        (
            limits.document_bytes > http.body_bytes,
            "limits.document_bytes is above http.body_bytes: the largest documents are rejected with their bodies",
            "raise http.body_bytes",
        ),
        (
            database.statement_timeout > http.request_timeout,
            "database.statement_timeout is above http.request_timeout and has no effect",
            "lower database.statement_timeout",
        ),
        (
            database.wait_timeout >= http.request_timeout,
            "database.wait_timeout is not below http.request_timeout: requests that wait for the database fail with TIMEOUT",
            "lower database.wait_timeout",
        ),
        (
            http.shutdown_delay >= http.shutdown_grace,
            "http.shutdown_delay is not below http.shutdown_grace: running requests are aborted when the server stops",
            "raise http.shutdown_grace",
        ),
        (
            limits.depth > limits.nesting as u64,
            "limits.depth is above limits.nesting: documents of the maximum depth are rejected",
            "raise limits.nesting",
        ),
        (
            u64::from(limits.page_size_max) >= limits.objects,
            "limits.page_size_max is not below limits.objects: a full page is rejected",
            "raise limits.objects",
        ),
        (
            config.loading.batch_keys as u64 <= limits.objects,
            "loading.batch_keys is not above limits.objects: one batch may need several statements",
            "raise loading.batch_keys",
        ),
        (
            config.loading.max_sql_per_request == Some(0),
            "loading.max_sql_per_request is 0: every request that reads data is rejected",
            "raise or unset MAX_SQL_PER_REQUEST",
        ),
        (
            !http.bind.ip().is_loopback() && http.allowed_hosts.is_empty(),
            "http.allowed_hosts is empty: pages of other sites can reach the server through DNS rebinding",
            "list the host names of this server in http.allowed_hosts",
        ),
    ];
    let mut findings: Vec<_> = conflicts
        .into_iter()
        .filter(|(is_found, ..)| *is_found)
        .map(|(_, found, remedy)| Finding::warning("settings", found, remedy))
        .collect();
    if findings.is_empty() {
        findings.push(Finding::ok("settings", "no conflicts"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Level;

    #[test]
    fn the_defaults_do_not_conflict() {
        let findings = check(&Config::default());

        assert_eq!(findings.iter().map(|finding| finding.level).collect::<Vec<_>>(), [Level::Ok]);
    }

    #[test]
    fn conflicts_are_found() {
        let changes: [fn(&mut Config); 8] = [
            |config| config.http.body_bytes_total = 1_000,
            |config| config.limits.document_bytes = 2_000_000,
            |config| config.database.statement_timeout *= 2,
            |config| config.http.shutdown_grace = config.http.shutdown_delay,
            |config| config.limits.nesting = 10,
            |config| config.limits.objects = 100,
            |config| config.loading.batch_keys = 20_000,
            |config| config.loading.max_sql_per_request = Some(0),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut config = Config::default();
            change(&mut config);

            let findings = check(&config);

            assert_eq!(findings.len(), 1, "{index}: {findings:?}");
            assert_eq!(findings[0].level, Level::Warning);
        }
        let mut config = Config::default();
        config.http.bind = "0.0.0.0:80".parse().expect("an address");
        let findings = check(&config);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].found.contains("http.allowed_hosts"), "{findings:?}");
    }
}
