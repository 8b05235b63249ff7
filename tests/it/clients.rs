//! Clients of other projects, with their default settings, against the program on both databases.
//!
//! Each folder of `tests/clients` has the tests of one client, which run in a process of their own. The packages are
//! installed in the folder of the build, in the versions of the lock files.
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{Write as _, stderr},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::Value;

use crate::{
    backend::Backend,
    fixture,
    process::{PROGRAM, Ran, Sandbox, Served, run},
};

/// Set by CI: a client that cannot be installed is then a failure, not a reason to skip.
const REQUIRED_VARIABLE: &str = "GATHERUM_TEST_REQUIRE_CLIENTS";

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// Folder of the build to which the tests are copied, with the installed packages.
const INSTALLED: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/clients");

/// Number of artifacts in the catalogue of a test.
const ARTIFACTS: usize = 30;

/// Maximum number of subscription connections of the server, so few that a test can use them all.
const SUBSCRIPTIONS: usize = 8;

/// Tests that each client has.
const TESTS_OF_EACH_CLIENT: [&str; 5] = [
    "a query with variables",
    "every page of a list",
    "a mutation writes once",
    "an error of a mutation has its code",
    "a rejected document has its code",
];

/// A program that runs tests of clients.
#[derive(Clone, Copy, Debug)]
enum Runtime {
    Node,
    Python,
}

impl Runtime {
    /// The interpreter, and the oldest version of it that the clients support.
    fn interpreter(self) -> (&'static str, (u32, u32)) {
        match self {
            Self::Node => ("node", (20, 0)),
            Self::Python => ("python3", (3, 11)),
        }
    }

    /// Installs the packages, once per process. Says once, loudly, that clients are skipped.
    fn install(self) -> bool {
        static NODE: OnceLock<Result<(), String>> = OnceLock::new();
        static PYTHON: OnceLock<Result<(), String>> = OnceLock::new();
        let installed = match self {
            Self::Node => &NODE,
            Self::Python => &PYTHON,
        };
        let outcome = installed.get_or_init(|| {
            self.try_install().inspect_err(|reason| {
                // Not `eprintln`, whose output the test harness captures.
                let _ = writeln!(stderr(), "SKIPPED: clients of {self:?}: {reason}");
            })
        });
        let is_required = std::env::var(REQUIRED_VARIABLE).is_ok();
        assert!(outcome.is_ok() || !is_required, "clients of {self:?} cannot be installed: {outcome:?}");
        outcome.is_ok()
    }

    /// Installs the packages unless the folder has those of the same lock file.
    fn try_install(self) -> Result<(), String> {
        fs::create_dir_all(INSTALLED).expect("a folder");
        let lock = File::create(format!("{INSTALLED}/.lock")).expect("a file");
        lock.lock().expect("a lock, when no other process installs the packages");
        copy_changed(Path::new(SOURCES), Path::new(INSTALLED));
        self.check_version()?;
        let (lock_file, marker) = match self {
            Self::Node => ("package-lock.json", ".node"),
            Self::Python => ("gql/requirements.txt", ".python"),
        };
        let wanted = fs::read(format!("{SOURCES}/{lock_file}")).expect("a lock file");
        let marker = format!("{INSTALLED}/{marker}");
        if fs::read(&marker).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        match self {
            Self::Node => install_node()?,
            Self::Python => install_python()?,
        }
        fs::write(marker, wanted).expect("a marker");
        Ok(())
    }

    fn check_version(self) -> Result<(), String> {
        let (interpreter, oldest) = self.interpreter();
        let version = output(Command::new(interpreter).arg("--version"))?;
        let mut numbers = version.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
        let mut next = || numbers.next().unwrap_or_default();
        if (next(), next()) < oldest {
            let (major, minor) = oldest;
            return Err(format!("{interpreter} is {}, and the clients need {major}.{minor} or newer", version.trim()));
        }
        Ok(())
    }

    /// The command that runs the tests of a client.
    fn command(self, sandbox: &Sandbox, client: &str) -> Command {
        let (program, arguments, file) = match self {
            Self::Node => (PathBuf::from("node"), ["--test-reporter=tap"].as_slice(), "test.mjs"),
            Self::Python => (python(), [].as_slice(), "test.py"),
        };
        let mut command = sandbox.command(program);
        command.args(arguments).arg(format!("{INSTALLED}/{client}/{file}"));
        command
    }
}

fn install_node() -> Result<(), String> {
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1"];
    output(Command::new("npm").args(arguments))?;
    Ok(())
}

fn install_python() -> Result<(), String> {
    output(Command::new("python3").args(["-m", "venv", "--clear", "python"]))?;
    let arguments = ["-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", "gql/requirements.txt"];
    output(Command::new(python()).args(arguments))?;
    Ok(())
}

fn python() -> PathBuf {
    Path::new(INSTALLED).join("python/bin/python")
}

/// Runs a command that installs something, and returns its output.
///
/// # Errors
/// The command and the first line of its output that has an error, such as that of a registry that is not reachable.
fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.current_dir(INSTALLED).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let error = text.lines().find(|line| line.to_lowercase().contains("error")).unwrap_or("no message");
    Err(format!("{command:?}: {error}"))
}

/// Copies the files of a folder that differ from those of the other.
fn copy_changed(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == "node_modules" {
            continue;
        }
        if source.is_dir() {
            copy_changed(&source, &target);
            continue;
        }
        let text = fs::read(&source).expect("a file");
        if fs::read(&target).ok().as_ref() != Some(&text) {
            fs::write(target, text).expect("a copy");
        }
    }
}

/// One test of a client.
#[derive(Debug, PartialEq, Eq)]
struct Check<'a> {
    name: &'a str,
    passed: bool,
}

/// The tests in a report in the Test Anything Protocol. A test that was skipped did not pass.
fn checks(report: &str) -> Vec<Check<'_>> {
    let check = |line| {
        let (passed, rest) = match str::strip_prefix(line, "not ok ") {
            Some(rest) => (false, rest),
            None => (true, str::strip_prefix(line, "ok ")?),
        };
        let (_, name) = rest.split_once(" - ")?;
        Some(Check { name: name.trim(), passed: passed && !name.contains(" # ") })
    };
    report.lines().filter_map(check).collect()
}

/// Returns the number of tests that a report announces.
fn planned(report: &str) -> Option<usize> {
    report.lines().find_map(|line| line.strip_prefix("1..")?.trim().parse().ok())
}

/// Starts the program on a catalogue.
fn serve(sandbox: &Sandbox, database_url: &str) -> Served {
    let mut command = sandbox.gatherum("--bind 127.0.0.1:0 --log-level error --database-url");
    command.arg(database_url);
    // Tests change data as fast as the server permits, and count the subscriptions of the client.
    command.env("GATHERUM_HTTP_RATE_PER_SECOND", "0");
    command.env("GATHERUM_HTTP_SUBSCRIPTION_CONNECTIONS", SUBSCRIPTIONS.to_string());
    Served::start(command)
}

/// Runs the tests of a client, which include those that each client has.
async fn test(runtime: Runtime, client: &str) {
    run_tests(runtime, client, &TESTS_OF_EACH_CLIENT).await;
}

/// Runs the tests in a folder with a server on each database.
async fn run_tests(runtime: Runtime, client: &str, required: &[&str]) {
    if !runtime.install() {
        return;
    }
    for backend in Backend::all().await {
        let database = backend.database().await;
        fixture::fill(&database.db, ARTIFACTS).await;
        let sandbox = Sandbox::new();
        let served = serve(&sandbox, &database.config.url);
        let mut command = runtime.command(&sandbox, client);
        command.env("GATHERUM_URL", format!("http://{}/graphql", served.address));
        command.env("GATHERUM_ARTIFACTS", ARTIFACTS.to_string());
        command.env("GATHERUM_SUBSCRIPTIONS", SUBSCRIPTIONS.to_string());
        command.env("GATHERUM_PROGRAM", PROGRAM).env("GATHERUM_DATABASE", &database.config.url);

        let Ran { status, out, err } = run(&mut command);

        let checks = checks(&out);
        for Check { name, passed } in &checks {
            println!("{client} on {backend:?}: {}: {name}", if *passed { "passed" } else { "FAILED" });
        }
        let failed: Vec<&str> = checks.iter().filter(|check| !check.passed).map(|check| check.name).collect();
        assert!(failed.is_empty(), "{client} on {backend:?}: {failed:#?}\n{out}\n{err}");
        assert_eq!(planned(&out), Some(checks.len()), "{client} ends early: {out}\n{err}");
        assert_eq!(status, Some(0), "{client} on {backend:?}: {out}\n{err}");
        for name in required {
            assert!(checks.iter().any(|check| check.name == *name), "{client} has no test `{name}`");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn urql_4_works_with_its_defaults() {
    test(Runtime::Node, "urql-4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn urql_5_works_with_its_defaults() {
    test(Runtime::Node, "urql-5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn urql_6_works_with_its_defaults() {
    test(Runtime::Node, "urql-6").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apollo_client_works_with_its_defaults() {
    test(Runtime::Node, "apollo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_works_with_its_defaults() {
    test(Runtime::Node, "relay").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_request_works_with_its_defaults() {
    test(Runtime::Node, "graphql-request").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_ws_works_with_its_defaults() {
    test(Runtime::Node, "graphql-ws").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_sse_works_with_its_defaults() {
    test(Runtime::Node, "graphql-sse").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_output_of_graphql_codegen_compiles_and_works() {
    test(Runtime::Node, "codegen").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gql_works_with_its_defaults() {
    test(Runtime::Python, "gql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_of_graphql_http_passes() {
    run_tests(Runtime::Node, "audit", &[]).await;
}

#[test]
fn the_table_of_clients_has_the_pinned_versions() {
    let lock: Value = serde_json::from_str(include_str!("../clients/package-lock.json")).expect("a lock file");
    let packages = lock["packages"].as_object().expect("packages");
    let requirements = include_str!("../clients/gql/requirements.txt");
    let installed = |name: &str| -> BTreeSet<String> {
        let of_node = packages.iter().filter(|(path, _)| path.ends_with(&format!("node_modules/{name}")));
        let of_node = of_node.filter_map(|(_, package)| Some(package["version"].as_str()?.to_owned()));
        let of_python = requirements.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix("=="));
        of_node.chain(of_python.map(|version| version.trim_end_matches(" \\").to_owned())).collect()
    };
    let document = include_str!("../../docs/clients.md");
    let table = document.split("| package | versions | subscriptions |").nth(1).expect("a table");

    let mut documented = 0;
    for row in table.lines().skip(2).take_while(|row| row.starts_with('|')) {
        let mut cells = row.split('|').skip(1);
        let names = cells.next().expect("a name").split('`').skip(1).step_by(2);
        let versions: BTreeSet<String> = cells.next().expect("versions").split(',').map(|v| v.trim().into()).collect();
        for name in names {
            assert_eq!(installed(name), versions, "{name}");
            documented += 1;
        }
    }
    assert_eq!(documented, 11);
}

#[test]
fn a_failed_skipped_or_missing_test_of_a_client_is_found() {
    let report = "TAP version 13\nok 1 - a\nnot ok 2 - b\n    ok 1 - nested\nok 3 - c # SKIP no reason\n1..4\n";

    let found: Vec<_> = checks(report).into_iter().map(|Check { name, passed }| (name, passed)).collect();

    assert_eq!(found, [("a", true), ("b", false), ("c # SKIP no reason", false)]);
    assert_eq!(planned(report), Some(4));
}
