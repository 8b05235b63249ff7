//! Settings that are allowed one by one and contradict each other.
use super::Finding;
use crate::config::Config;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let (http, limits, database) = (&config.http, &config.limits, &config.database);
    // Whether it is so, what is so, what to do.
    let contradictions = [
        (
            http.body_bytes > http.body_bytes_total,
            "http.body_bytes is above http.body_bytes_total, so that the largest bodies are always answered OVERLOADED",
            "raise http.body_bytes_total",
        ),
        (
            limits.document_bytes > http.body_bytes,
            "limits.document_bytes is above http.body_bytes, so that the largest documents never arrive",
            "raise http.body_bytes",
        ),
        (
            database.statement_timeout > http.request_timeout,
            "database.statement_timeout is above http.request_timeout, which ends statements before their own limit does",
            "lower database.statement_timeout",
        ),
        (
            http.shutdown_delay >= http.shutdown_grace,
            "http.shutdown_delay takes up all of http.shutdown_grace, so that requests are cut off when the server stops",
            "raise http.shutdown_grace",
        ),
        (
            limits.depth > limits.nesting as u64,
            "limits.depth is above limits.nesting, so that documents of that depth are refused",
            "raise limits.nesting",
        ),
        (
            u64::from(limits.page_size_max) >= limits.objects,
            "a page of limits.page_size_max is more than limits.objects allows",
            "raise limits.objects",
        ),
        (
            config.loading.batch_keys as u64 <= limits.objects,
            "loading.batch_keys is not above limits.objects, so that a level of a large answer takes several statements",
            "raise loading.batch_keys",
        ),
        (
            config.loading.max_sql_per_request == Some(0),
            "loading.max_sql_per_request is 0, so that every query for data is refused",
            "raise MAX_SQL_PER_REQUEST, or unset it",
        ),
        (
            !http.bind.ip().is_loopback(),
            "http.bind is an address of the network, and this release knows no accounts",
            "keep it behind something that authenticates, or listen on 127.0.0.1",
        ),
        (
            !http.bind.ip().is_loopback() && http.allowed_hosts.is_empty(),
            "http.allowed_hosts is empty, so that pages of other sites can reach the server by a name of their own",
            "name the hosts of this server in http.allowed_hosts",
        ),
    ];
    let mut findings: Vec<_> = contradictions
        .into_iter()
        .filter(|(is_so, ..)| *is_so)
        .map(|(_, found, remedy)| Finding::warning("settings", found, remedy))
        .collect();
    if findings.is_empty() {
        findings.push(Finding::ok("settings", "none contradicts another"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Level;

    #[test]
    fn the_defaults_do_not_contradict_each_other() {
        let findings = check(&Config::default());

        assert_eq!(findings.iter().map(|finding| finding.level).collect::<Vec<_>>(), [Level::Ok]);
    }

    #[test]
    fn contradictions_are_found() {
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
        for (place, change) in changes.into_iter().enumerate() {
            let mut config = Config::default();
            change(&mut config);

            let findings = check(&config);

            assert_eq!(findings.len(), 1, "{place}: {findings:?}");
            assert_eq!(findings[0].level, Level::Warning);
        }
        let mut config = Config::default();
        config.http.bind = "0.0.0.0:80".parse().expect("an address");
        assert_eq!(check(&config).len(), 2);
    }
}
