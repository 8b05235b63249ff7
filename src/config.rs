//! Settings. Precedence: flags, then environment, then `gatherum.toml`, then defaults. No other module reads the environment.
//!
//! Each section is a struct of the module that uses it. This module combines and loads the sections, and shows each value
//! with its source. A key is `section.name`; in a file, sections are tables.
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use documented::DocumentedFields;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::{
    access, db, documents,
    graphql::{self, CountStrategy},
    http, telemetry,
};

/// All settings.
#[derive(Clone, Debug, Default, DocumentedFields, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Database.
    pub database: db::Config,
    /// HTTP server.
    pub http: http::Config,
    /// Limits of one GraphQL document.
    pub limits: graphql::cost::Limits,
    /// Authentication.
    pub access: access::Config,
    /// Persisted documents.
    pub documents: documents::Config,
    /// Loading of relationships.
    pub loading: Loading,
    /// Cache of loads that are shared between requests.
    pub cache: graphql::load_cache::CacheConfig,
    /// Log.
    pub log: telemetry::Config,
}

/// Settings of the loading of relationships.
#[derive(Clone, Debug, PartialEq, Eq, DocumentedFields, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Loading {
    /// How the artifacts of a collection are counted: `maintained` reads counts that triggers maintain, `live` counts the
    /// members in each query. Default: maintained.
    pub count_strategy: CountStrategy,
    /// Maximum number of keys of one statement, at least 1; larger batches are split into several statements. Default: 25000,
    /// above `limits.objects`, so that no batch is split.
    pub batch_keys: usize,
    /// Maximum number of SQL statements of one request; a request that needs more is rejected. Default: none, no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_sql_per_request: Option<u32>,
}

impl Default for Loading {
    fn default() -> Self {
        Self { count_strategy: CountStrategy::Maintained, batch_keys: 25_000, max_sql_per_request: None }
    }
}

/// Environment variables whose name is not derived from their key.
const VARIABLES: [(&str, &str); 17] = [
    ("DATABASE_URL", "database.url"),
    ("DATABASE_REPLICA_URL", "database.replica_url"),
    ("DATABASE_POOL_SIZE", "database.pool_size"),
    ("DATABASE_MAX_OVERFLOW", "database.max_overflow"),
    ("DATABASE_POOL_TIMEOUT", "database.pool_timeout"),
    ("DATABASE_POOL_RECYCLE", "database.pool_recycle"),
    ("DATABASE_POOL_PRE_PING", "database.pool_pre_ping"),
    ("DATABASE_ECHO", "database.echo"),
    ("SLOW_QUERY_MS", "database.slow_query_ms"),
    ("GATHERUM_BIND", "http.bind"),
    ("LOG_LEVEL", "log.level"),
    ("LOG_FORMAT", "log.format"),
    ("COUNT_STRATEGY", "loading.count_strategy"),
    ("CACHE_TTL_SECONDS", "cache.ttl"),
    ("CACHE_MAX_ENTRIES", "cache.max_entries"),
    ("MAX_SQL_PER_REQUEST", "loading.max_sql_per_request"),
    ("GATHERUM_CONFIG", FILE_KEY),
];

/// The pseudo key for the path of the settings file.
const FILE_KEY: &str = "config";

/// The settings file in the working directory, which is optional.
const FILE_DEFAULT: &str = "gatherum.toml";

/// Maximum of `pool_size` plus `max_overflow`.
const POOL_SIZE_MAX: u64 = 10_000;

/// Maximum of `http.connections` and `http.executing`.
const CONCURRENCY_MAX: usize = 1_000_000;

/// Maximum of memory budgets, which are semaphores with one permit per byte.
const BYTES_MAX: usize = tokio::sync::Semaphore::MAX_PERMITS;

/// Settings without a default.
const OPTIONAL: [&str; 5] = [
    "access.jwt_audience",
    "access.jwt_issuer",
    "access.jwt_keys",
    "database.replica_url",
    "loading.max_sql_per_request",
];

/// Former keys and the keys that replace them. A former key is rejected with a message that names the new one.
const RENAMED: [(&str, &str); 5] = [
    ("http.answer_bytes_total", "http.response_bytes_total"),
    ("http.executing", "http.concurrent_requests"),
    ("http.followers", "http.subscription_connections"),
    ("http.followers_each", "http.subscription_connections_per_client"),
    ("http.socket_operations", "http.operations_per_socket"),
];

/// A flag of the command line that sets a key.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The flag, such as `--bind`.
    pub name: &'static str,
    /// The key.
    pub key: &'static str,
    /// The value as text.
    pub text: String,
}

/// The effective settings and their sources.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The source of each key that is set, such as `environment (DATABASE_URL)`.
    pub sources: BTreeMap<String, String>,
}

impl Loaded {
    /// Loads the settings. `file` is the path that a flag specified.
    ///
    /// # Errors
    /// A key is unknown (the error suggests the most similar one), a value is invalid, or settings conflict.
    pub fn load(
        flags: &[Flag],
        environment: impl IntoIterator<Item = (String, String)>,
        file: Option<PathBuf>,
    ) -> Result<Self> {
        let mut settings = ConfigBuilder::new();
        let mut file = file;
        let mut variables = Vec::new();
        for (name, text) in environment {
            match settings.key_of(&name)? {
                Some(key) if key == FILE_KEY => file = file.or(Some(text.into())),
                Some(key) => variables.push((key, text, format!("environment ({name})"))),
                None => {}
            }
        }
        settings.merge_file(file.as_deref())?;
        for (key, text, source) in variables {
            settings.set_text(&key, &text, source)?;
        }
        for Flag { name, key, text } in flags {
            settings.set_text(key, text, format!("flag ({name})"))?;
        }
        settings.build()
    }

    /// The settings as a file, with the source of each value and without secrets.
    pub fn show(&self) -> Result<String> {
        let mut shown = self.config.clone();
        shown.database.url = db::redacted(&shown.database.url);
        shown.database.replica_url = shown.database.replica_url.as_deref().map(db::redacted);
        let mut text = String::new();
        for (section, table) in sections(&shown)? {
            text.push_str(&format!("[{section}]\n"));
            for (name, value) in &table {
                let source = self.sources.get(&format!("{section}.{name}")).map_or("default", String::as_str);
                text.push_str(&format!("{name} = {value} # {source}\n"));
            }
            let absent = OPTIONAL.iter().filter_map(|key| key.strip_prefix(&section)?.strip_prefix('.'));
            for name in absent.filter(|name| !table.contains_key(*name)) {
                text.push_str(&format!("#{name} = # default\n"));
            }
            text.push('\n');
        }
        Ok(text.trim_end().to_owned() + "\n")
    }
}

/// An example file with the description and default of every setting.
///
/// # Errors
/// Never: the defaults can be serialized.
pub fn example() -> Result<String> {
    let mut text =
        "# Settings of gatherum and their defaults. Flags and environment variables override this file.\n".to_owned();
    for (section, table) in sections(&Config::default())? {
        let docs = Config::get_field_docs(&section).unwrap_or_default();
        text.push_str(&format!("\n{}[{section}]\n", comment(docs)));
        for (name, value) in table {
            text.push_str(&description(&section, &name));
            text.push_str(&format!("#{name} = {value}\n"));
        }
        for key in OPTIONAL {
            if let Some(name) = key.strip_prefix(&format!("{section}.")) {
                text.push_str(&description(&section, name));
                text.push_str(&format!("#{name} =\n"));
            }
        }
    }
    Ok(text)
}

/// The description of a setting and its environment variable, as comments.
fn description(section: &str, name: &str) -> String {
    let docs = match section {
        "access" => access::Config::get_field_docs(name),
        "cache" => graphql::load_cache::CacheConfig::get_field_docs(name),
        "database" => db::Config::get_field_docs(name),
        "documents" => documents::Config::get_field_docs(name),
        "http" => http::Config::get_field_docs(name),
        "limits" => graphql::cost::Limits::get_field_docs(name),
        "loading" => Loading::get_field_docs(name),
        "log" => telemetry::Config::get_field_docs(name),
        _ => Ok(""),
    };
    let variable = variable_of(&format!("{section}.{name}"));
    format!("\n{}# Environment: {variable}\n", comment(docs.unwrap_or_default()))
}

/// Formats a text as comment lines.
fn comment(text: &str) -> String {
    text.lines().map(|line| format!("# {line}\n")).collect()
}

/// The environment variable that sets a key.
fn variable_of(key: &str) -> String {
    match VARIABLES.iter().find(|(_, known)| *known == key) {
        Some((variable, _)) => (*variable).to_owned(),
        None => format!("GATHERUM_{}", key.replace('.', "_").to_uppercase()),
    }
}

fn sections(config: &Config) -> Result<Vec<(String, Table)>> {
    let table = Table::try_from(config)?;
    Ok(table.into_iter().filter_map(|(name, value)| Some((name, value.as_table()?.clone()))).collect())
}

/// Collects settings from all sources.
struct ConfigBuilder {
    defaults: Table,
    values: Table,
    sources: BTreeMap<String, String>,
    keys: Vec<String>,
}

impl ConfigBuilder {
    fn new() -> Self {
        let defaults = Table::try_from(Config::default()).unwrap_or_default();
        let mut keys: Vec<String> = OPTIONAL.iter().map(ToString::to_string).collect();
        for (section, table) in &defaults {
            keys.extend(table.as_table().into_iter().flatten().map(|(name, _)| format!("{section}.{name}")));
        }
        Self { defaults, values: Table::new(), sources: BTreeMap::new(), keys }
    }

    /// The key that an environment variable sets; `None` for variables of other programs.
    fn key_of(&self, name: &str) -> Result<Option<String>> {
        if let Some((_, key)) = VARIABLES.iter().find(|(variable, _)| *variable == name) {
            return Ok(Some((*key).to_owned()));
        }
        if !name.starts_with("GATHERUM_") || name.starts_with("GATHERUM_TEST_") {
            return Ok(None);
        }
        let found = self.keys.iter().find(|key| variable_of(key) == name);
        match found {
            Some(key) => Ok(Some(key.clone())),
            None => {
                if let Some((_, new)) = RENAMED.iter().find(|(former, _)| variable_of(former) == name) {
                    bail!("environment variable {name} was renamed to {}", variable_of(new));
                }
                let known = self.keys.iter().map(|key| variable_of(key));
                bail!("environment variable {name} is unknown{}", suggestion(name, known))
            }
        }
    }

    fn merge_file(&mut self, file: Option<&Path>) -> Result<()> {
        let path = match file {
            Some(path) => path,
            None if Path::new(FILE_DEFAULT).exists() => Path::new(FILE_DEFAULT),
            None => return Ok(()),
        };
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let table: Table = text.parse().with_context(|| format!("{} is not TOML", path.display()))?;
        for (section, values) in table {
            let Value::Table(values) = values else {
                bail!("{}: `{section}` is unknown{}", path.display(), suggestion(&section, self.keys.iter().cloned()))
            };
            for (name, value) in values {
                let key = format!("{section}.{name}");
                if let Some((_, new)) = RENAMED.iter().find(|(former, _)| *former == key) {
                    bail!("{}: `{key}` was renamed to `{new}`", path.display());
                }
                if !self.keys.contains(&key) {
                    bail!("{}: `{key}` is unknown{}", path.display(), suggestion(&key, self.keys.iter().cloned()));
                }
                self.set(&key, value, path.display().to_string());
            }
        }
        Ok(())
    }

    /// Sets a key to `text`, parsed as the type of the setting.
    fn set_text(&mut self, key: &str, text: &str, source: String) -> Result<()> {
        let value = self.read(key, text).with_context(|| format!("{source}: `{key}`"))?;
        self.set(key, value, source);
        Ok(())
    }

    fn read(&self, key: &str, text: &str) -> Result<Value> {
        let (section, name) = key.split_once('.').context("a key has a section")?;
        let default = self.defaults.get(section).and_then(|table| table.get(name));
        Ok(match default {
            Some(Value::Integer(_)) => {
                Value::Integer(text.trim().parse().with_context(|| format!("`{text}` is not a whole number"))?)
            }
            Some(Value::Boolean(_)) => Value::Boolean(boolean(text)?),
            Some(Value::Array(_)) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
            }
            None if name == "max_sql_per_request" => {
                Value::Integer(text.trim().parse().with_context(|| format!("`{text}` is not a whole number"))?)
            }
            _ => Value::String(text.to_owned()),
        })
    }

    fn set(&mut self, key: &str, value: Value, source: String) {
        let Some((section, name)) = key.split_once('.') else { return };
        let table = self.values.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let Some(table) = table.as_table_mut() {
            table.insert(name.to_owned(), value);
        }
        self.sources.insert(key.to_owned(), source);
    }

    fn build(self) -> Result<Loaded> {
        let config: Config = match self.values.try_into() {
            Ok(config) => config,
            Err(error) => return Err(invalid_value(&error, &self.sources)),
        };
        config.validate()?;
        Ok(Loaded { config, sources: self.sources })
    }
}

impl Config {
    /// Checks ranges and dependencies of settings.
    ///
    /// # Errors
    /// A setting is out of range; the error names it.
    pub fn validate(&self) -> Result<()> {
        if self.database.pool_size == 0 {
            bail!("database.pool_size must be at least 1");
        }
        if u64::from(self.database.pool_size) + u64::from(self.database.max_overflow) > POOL_SIZE_MAX {
            bail!("the sum of database.pool_size and database.max_overflow must be at most {POOL_SIZE_MAX}");
        }
        for (key, value) in
            [("http.connections", self.http.connections), ("http.concurrent_requests", self.http.concurrent_requests)]
        {
            if !(1..=CONCURRENCY_MAX).contains(&value) {
                bail!("{key} must be from 1 to {CONCURRENCY_MAX}");
            }
        }
        for (key, value) in [
            ("http.body_bytes_total", self.http.body_bytes_total),
            ("http.response_bytes_total", self.http.response_bytes_total),
        ] {
            if value > BYTES_MAX {
                bail!("{key} must be at most {BYTES_MAX}");
            }
        }
        if self.limits.page_size_max == 0 || self.limits.page_size_default > self.limits.page_size_max {
            bail!("limits.page_size_default must be at most limits.page_size_max, which must be at least 1");
        }
        if self.loading.batch_keys == 0 {
            bail!("loading.batch_keys must be at least 1");
        }
        if self.documents.cache_bytes < 1 << 20 {
            bail!("documents.cache_bytes must be at least 1048576");
        }
        if self.http.header_bytes < 8_192 {
            bail!("http.header_bytes must be at least 8192");
        }
        Ok(())
    }
}

/// The error for an invalid value, with its key and source.
fn invalid_value(error: &toml::de::Error, sources: &BTreeMap<String, String>) -> anyhow::Error {
    let text = error.to_string();
    // The key is in the last line of the message.
    let (key, source) = sources.iter().find(|(key, _)| text.contains(&format!("`{key}`"))).unzip();
    let (key, source) = (key.map_or("a setting", String::as_str), source.map_or("unknown source", String::as_str));
    anyhow::anyhow!("{source}: `{key}`: {}: see `gatherum config example`", error.message())
}

fn boolean(text: &str) -> Result<bool> {
    match text.trim().to_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => bail!("`{text}` is not a boolean: write true or false"),
    }
}

/// ` (did you mean …?)` with the most similar known name.
fn suggestion(word: &str, known: impl Iterator<Item = String>) -> String {
    const SIMILARITY_MIN: f64 = 0.7;
    let best = known
        .map(|candidate| (strsim::jaro_winkler(word, &candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right));
    best.map_or_else(String::new, |(_, candidate)| format!(" (did you mean {candidate}?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &[(&'static str, &str)], environment: &[(&str, &str)], file: Option<&str>) -> Result<Loaded> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = file.map(|text| {
            let path = directory.path().join("settings.toml");
            fs::write(&path, text).expect("a file");
            path
        });
        let flags: Vec<_> =
            flags.iter().map(|(key, text)| Flag { name: "--flag", key, text: (*text).to_owned() }).collect();
        Loaded::load(&flags, environment.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())), path)
    }

    #[test]
    fn flags_override_the_environment_the_file_and_defaults() {
        let file = Some("[database]\npool_size = 2\nmax_overflow = 3\npool_timeout = 1.5\n[log]\nlevel = \"debug\"");
        let environment = [("DATABASE_POOL_SIZE", "4"), ("DATABASE_MAX_OVERFLOW", "5")];

        let loaded = load(&[("database.pool_size", "6")], &environment, file).expect("settings");

        assert_eq!(loaded.config.database.pool_size, 6);
        assert_eq!(loaded.config.database.max_overflow, 5);
        assert_eq!(loaded.config.database.pool_timeout.as_millis(), 1_500);
        assert_eq!(loaded.config.log.level, "debug");
        assert_eq!(loaded.config.http, http::Config::default());
        assert_eq!(loaded.sources["database.pool_size"], "flag (--flag)");
        assert_eq!(loaded.sources["database.max_overflow"], "environment (DATABASE_MAX_OVERFLOW)");
    }

    #[test]
    fn every_variable_sets_its_key() {
        let values = [
            ("DATABASE_URL", "postgres://a:b@c/d"),
            ("DATABASE_REPLICA_URL", "postgres://a:b@e/d"),
            ("DATABASE_POOL_SIZE", "10"),
            ("DATABASE_MAX_OVERFLOW", "20"),
            ("DATABASE_POOL_TIMEOUT", "30.0"),
            ("DATABASE_POOL_RECYCLE", "3600"),
            ("DATABASE_POOL_PRE_PING", "false"),
            ("DATABASE_ECHO", "1"),
            ("SLOW_QUERY_MS", "100"),
            ("GATHERUM_BIND", "[::1]:9000"),
            ("LOG_LEVEL", "warn"),
            ("LOG_FORMAT", "json"),
            ("COUNT_STRATEGY", "live"),
            ("MAX_SQL_PER_REQUEST", "7"),
            ("GATHERUM_LIMITS_DEPTH", "9"),
            ("GATHERUM_HTTP_ALLOWED_HOSTS", "a.example, b.example:80"),
            ("PATH", "/bin"),
        ];

        let loaded = load(&[], &values, None).expect("settings");

        assert_eq!(loaded.sources.len(), values.len() - 1);
        assert_eq!(loaded.config.loading.max_sql_per_request, Some(7));
        assert_eq!(loaded.config.loading.count_strategy, CountStrategy::Live);
        assert_eq!(loaded.config.limits.depth, 9);
        assert_eq!(loaded.config.http.allowed_hosts, ["a.example", "b.example:80"]);
        assert!(!loaded.config.database.pool_pre_ping);
        assert!(!loaded.show().expect("a text").contains(":b@"));
    }

    #[test]
    fn an_unknown_name_is_rejected_with_a_suggestion() {
        let cases = [
            (load(&[], &[("GATHERUM_BINDD", "x")], None), "did you mean GATHERUM_BIND?"),
            (load(&[], &[], Some("[database]\npool_sise = 1")), "did you mean database.pool_size?"),
            (load(&[], &[], Some("databse = 1")), "did you mean database"),
        ];
        for (result, expected) in cases {
            let error = format!("{:#}", result.expect_err("an unknown key"));

            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_renamed_setting_is_rejected_with_its_new_name() {
        for (former, new) in RENAMED {
            let (section, name) = former.split_once('.').expect("a section");
            let in_file = load(&[], &[], Some(&format!("[{section}]\n{name} = 1")));
            let in_environment = load(&[], &[(&variable_of(former), "1")], None);

            let error = in_file.expect_err("a renamed key").to_string();
            assert!(error.ends_with(&format!("`{former}` was renamed to `{new}`")), "{error}");
            let error = in_environment.expect_err("a renamed variable").to_string();
            assert!(
                error.ends_with(&format!("{} was renamed to {}", variable_of(former), variable_of(new))),
                "{error}"
            );
            let settings = ConfigBuilder::new();
            assert!(settings.keys.iter().any(|key| key == new) && !settings.keys.iter().any(|key| key == former));
        }
    }

    #[test]
    fn a_wrong_value_names_its_key() {
        for (name, text) in [
            ("DATABASE_POOL_SIZE", "many"),
            ("DATABASE_ECHO", "maybe"),
            ("DATABASE_POOL_TIMEOUT", "soon"),
            ("GATHERUM_BIND", "here"),
            ("COUNT_STRATEGY", "guess"),
            ("DATABASE_POOL_SIZE", "0"),
        ] {
            let error = format!("{:#}", load(&[], &[(name, text)], None).expect_err("a wrong value"));
            let key = VARIABLES.iter().find(|(variable, _)| *variable == name).expect("a variable").1;

            assert!(error.contains(key.split('.').nth(1).expect("a name")), "{error}");
        }
    }

    #[test]
    fn the_committed_example_is_the_one_that_is_printed() {
        let committed = include_str!("../gatherum.example.toml");

        assert_eq!(committed, example().expect("a text"), "run `gatherum config example > gatherum.example.toml`");
        for setting in committed.split("\n\n").filter(|part| part.contains("# Environment: ")) {
            assert!(setting.lines().count() > 2, "{setting} has no description");
        }
        let uncommented = committed.replace("\n#", "\n");
        // Settings without a default have no value.
        let uncommented: String = uncommented
            .lines()
            .filter(|line| !line.starts_with([' ', '#']) && !line.ends_with('='))
            .map(|line| format!("{line}\n"))
            .collect();
        let parsed = load(&[], &[], Some(&uncommented)).expect("settings");
        assert_eq!(
            parsed.show().expect("a text").replace(&parsed.sources["http.bind"], "default"),
            load(&[], &[], None).expect("defaults").show().expect("a text")
        );
    }
}
