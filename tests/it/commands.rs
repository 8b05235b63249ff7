//! Commands as processes: their output and exit status.
use std::{
    fs,
    io::{PipeWriter, Read, Seek, SeekFrom, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
};

use gatherum::db::{Config, Db, migrate};
use serde_json::Value;

use crate::{
    backend::Backend,
    fixture,
    process::{Ran, Sandbox, Served, run},
};

/// Exit status that a shell reports for a program that SIGPIPE terminated.
const STATUS_CLOSED: Option<i32> = Some(141);

/// The write end of a pipe whose read end is closed.
fn closed() -> PipeWriter {
    std::io::pipe().expect("a pipe").1
}

/// Creates the database of a sandbox and fills it.
async fn filled(sandbox: &Sandbox) -> Db {
    let config = Config { url: format!("sqlite://{}", sandbox.path("gatherum.db").display()), ..Config::default() };
    let db = Db::open(&config).await.expect("a new file");
    migrate::up(&db).await.expect("migrations");
    fixture::fill(&db, 100).await;
    db
}

#[tokio::test]
async fn closing_standard_output_ends_a_command_quietly() {
    let sandbox = Sandbox::new();
    filled(&sandbox).await.close().await;
    for arguments in [
        "--help",
        "--version",
        "import --help",
        "export",
        "documents export",
        "schema",
        "schema --json",
        "config show",
        "config example",
        "migrate status",
        "migrate up",
        "doctor --bind 127.0.0.1:0",
        "completions bash",
        "backup copy.db",
    ] {
        let mut command = sandbox.gatherum(arguments);
        let ran = run(command.stdout(closed()));
        assert_eq!((ran.status, ran.err.as_str()), (STATUS_CLOSED, ""), "{arguments}");

        fs::remove_file(sandbox.path("copy.db")).ok();
        let ran = run(sandbox.gatherum(arguments).stdout(closed()).stderr(closed()));
        assert_eq!(ran.status, STATUS_CLOSED, "{arguments}, with standard error closed");
    }
    // Closing standard error only does not change the status.
    assert_eq!(run(sandbox.gatherum("export").stderr(closed())).status, Some(0));
    assert_eq!(run(sandbox.gatherum("import csv none.csv").stderr(closed())).status, Some(1));
    assert_eq!(run(sandbox.gatherum("no-such-command").stderr(closed())).status, Some(2));
}

#[test]
fn a_failed_write_is_an_error() {
    let Ok(full) = fs::File::options().write(true).open("/dev/full") else {
        return eprintln!("SKIPPED: this system has no /dev/full");
    };
    let sandbox = Sandbox::new();
    for arguments in ["schema", "config show", "completions bash", "export", "documents export"] {
        let ran = run(sandbox.gatherum(arguments).stdout(full.try_clone().expect("a file")));

        assert_eq!(ran.status, Some(1), "{arguments}");
        assert!(ran.err.contains("No space left"), "{arguments}: {}", ran.err);
    }
}

/// Sends a request on a new connection and returns the response.
fn send(address: std::net::SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

const LIVE: &str = "GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const QUERY: &str =
    "GET /graphql?query=%7Bartifacts%7BtotalCount%7D%7D HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[test]
fn a_server_runs_with_standard_output_and_error_closed() {
    let sandbox = Sandbox::new();
    // The server cannot print its port, so the test chooses it.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let mut command = sandbox.gatherum(&format!("--bind {address} --log-level debug"));
    let child = command.stdout(closed()).stderr(closed()).spawn().expect("a program that starts");
    let mut served = Served { address, child };
    let live = loop {
        assert_eq!(served.child.try_wait().expect("a process"), None, "it goes on");
        match send(address, LIVE) {
            Ok(answer) => break answer,
            Err(_) => std::thread::yield_now(),
        }
    };

    assert!(live.starts_with("HTTP/1.1 200"), "{live}");
    let answer = send(address, QUERY).expect("an answer");
    assert!(answer.contains("{\"data\":{\"artifacts\":{\"totalCount\":0}}}"), "{answer}");
}

#[test]
fn the_demo_is_imported_into_an_empty_database_only() {
    let sandbox = Sandbox::new();
    let count = |served: &Served| send(served.address, QUERY).expect("an answer");
    let stderr_of = |served: &mut Served| {
        served.child.kill().expect("a process");
        let mut text = String::new();
        served.child.stderr.take().expect("its errors").read_to_string(&mut text).expect("a text");
        text
    };
    let serve = |arguments: &str| {
        let mut command = sandbox.gatherum(&format!("{arguments} --bind 127.0.0.1:0 --log-level warn"));
        command.stderr(Stdio::piped());
        Served::start(command)
    };
    fs::write(sandbox.path("own.csv"), "type,name\nskill,mine\n").expect("a file");
    sandbox.run("import csv own.csv");

    for arguments in ["--demo", "serve --demo", "--demo serve"] {
        let mut existing = serve(arguments);
        assert!(count(&existing).contains("\"totalCount\":1}"), "{arguments}");
        assert!(
            stderr_of(&mut existing).contains("--demo: not imported, because the database has artifacts already"),
            "{arguments}"
        );
    }
    fs::remove_file(sandbox.path("gatherum.db")).expect("a file");
    let mut filled = serve("--demo serve");
    assert!(!count(&filled).contains("\"totalCount\":0}"));
    assert_eq!(stderr_of(&mut filled), "");
    let elsewhere = sandbox.run("--demo export");
    assert_eq!(elsewhere.status, Some(1));
    assert!(elsewhere.err.contains("--demo requires `gatherum serve`"), "{}", elsewhere.err);
}

#[test]
fn settings_are_shown_with_their_sources() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("gatherum.toml"), "[http]\nconnections = 9\nconcurrent_requests = 8\n[limits]\ndepth = 7\n")
        .expect("a file");
    fs::write(sandbox.path("other.toml"), "[limits]\ndepth = 6\n").expect("a file");
    let show = |arguments: &str| {
        let mut command = sandbox.gatherum(&format!("{arguments} config show --log-level debug"));
        command.env("GATHERUM_HTTP_CONCURRENT_REQUESTS", "5").env("LOG_LEVEL", "warn");
        run(command.env("DATABASE_URL", "postgres://me:secret@host/catalogue"))
    };

    let shown = show("--bind [::1]:4000 --count-strategy live --max-sql-per-request 3 --log-format json").out;
    for line in [
        "connections = 9 # gatherum.toml",
        "concurrent_requests = 5 # environment (GATHERUM_HTTP_CONCURRENT_REQUESTS)",
        "depth = 7 # gatherum.toml",
        "tokens = 2000 # default",
        "bind = \"[::1]:4000\" # flag (--bind)",
        "count_strategy = \"live\" # flag (--count-strategy)",
        "max_sql_per_request = 3 # flag (--max-sql-per-request)",
        "level = \"debug\" # flag (--log-level)",
        "format = \"json\" # flag (--log-format)",
        "url = \"postgres://me:***@host/catalogue\" # environment (DATABASE_URL)",
        "#replica_url = # default",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
    assert!(!shown.contains("secret"));
    let other = show("--config other.toml --database-url sqlite://here.db").out;
    assert!(other.contains("depth = 6 # other.toml\n") && other.contains("connections = 10000 # default\n"), "{other}");
    assert!(other.contains("url = \"sqlite://here.db\" # flag (--database-url)\n"), "{other}");
    // The output is a valid settings file.
    fs::write(sandbox.path("shown.toml"), shown).expect("a file");
    assert_eq!(sandbox.run("--config shown.toml config show").status, Some(0));
}

/// Arguments, environment, and parts of the message.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn an_error_names_its_cause_and_a_remedy() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("text"), "this is no database, and long enough for a header".repeat(10)).expect("a file");
    fs::write(sandbox.path("broken.toml"), "[http\n").expect("a file");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let serve_taken = format!("--bind {}", taken.local_addr().expect("an address"));
    let cases: [Case; 18] = [
        ("", &[("DATABASE_URL", "mysql://x")], &["DATABASE_URL", "sqlite:// or postgres://"]),
        ("", &[("DATABASE_URL", "sqlite://none/x.db")], &["none/x.db", "does not exist", "create it"]),
        ("", &[("DATABASE_URL", "sqlite://text")], &["open text", "not a database", "DATABASE_URL"]),
        (
            "",
            &[("DATABASE_URL", "postgres://postgres@127.0.0.1:1/x"), ("DATABASE_POOL_TIMEOUT", "0.1")],
            &["PostgreSQL at 127.0.0.1:1", "refused", "check that the server is running"],
        ),
        ("", &[("GATHERUM_BIND", "here")], &["GATHERUM_BIND", "http.bind", "socket address", "config example"]),
        ("", &[("COUNT_STRATEGY", "guess")], &["COUNT_STRATEGY", "guess", "`live` or `maintained`"]),
        ("", &[("DATABASE_POOL_TIMEOUT", "soon")], &["DATABASE_POOL_TIMEOUT", "soon", "30s"]),
        ("", &[("GATHERUM_HTTP_CONNECTIONS", "0")], &["http.connections", "from 1 to"]),
        (
            "",
            &[("GATHERUM_HTTP_CONCURRENT_REQUESTS", "9223372036854775807")],
            &["http.concurrent_requests", "from 1 to"],
        ),
        ("", &[("DATABASE_POOL_SIZE", "4294967295")], &["pool_size", "at most 10000"]),
        ("", &[("LOG_LEVEL", "=,=")], &["log.level", "=,=", "warn, info or debug"]),
        ("", &[("GATHERUM_LIMITS_DEPHT", "1")], &["GATHERUM_LIMITS_DEPHT", "unknown", "GATHERUM_LIMITS_DEPTH"]),
        ("--config broken.toml", &[], &["broken.toml", "line 1"]),
        ("--config none.toml", &[], &["none.toml", "No such file"]),
        (&serve_taken, &[], &["cannot listen on 127.0.0.1:", "in use", "--bind"]),
        ("import csv none.csv", &[], &["none.csv", "No such file"]),
        ("export --collection x", &[], &["`x` is not an id", "use one"]),
        ("backup none/copy.db", &[], &["none/copy.db", "does not exist", "create it"]),
    ];
    for (arguments, environment, expected) in cases {
        let ran = run(sandbox.gatherum(arguments).envs(environment.iter().copied()));

        assert_eq!(ran.status, Some(1), "{arguments} {environment:?}: {ran:?}");
        let last = ran.err.lines().rfind(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{ran:?}"));
        for part in expected {
            assert!(ran.err[ran.err.find(last).unwrap_or(0)..].contains(part), "{last} has not {part}");
        }
        assert!(!ran.err.contains("panicked"), "{ran:?}");
    }
}

/// Runs the doctor with a free port and returns its findings by check.
fn doctor(sandbox: &Sandbox, arguments: &str) -> (Ran, Value) {
    let ran = sandbox.run(&format!("doctor --json --bind 127.0.0.1:0 {arguments}"));
    let findings: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let by_check = findings.as_array().expect("a list").iter();
    let by_check = by_check.map(|finding| (finding["check"].as_str().expect("a name").to_owned(), finding.clone()));
    let by_check = Value::Object(by_check.collect());
    (ran, by_check)
}

/// Asserts the level of a check and parts of its text.
fn assert_found(findings: &Value, check: &str, level: &str, parts: &[&str]) {
    let finding = &findings[check];
    assert_eq!(finding["level"], level, "{check}: {findings:#}");
    assert_eq!(finding.get("remedy").is_some(), level != "ok", "every problem has a remedy: {finding}");
    for part in parts {
        assert!(finding.to_string().contains(part), "{finding} has not {part}");
    }
}

#[tokio::test]
async fn the_doctor_finds_no_problem_in_an_intact_database() {
    let sandbox = Sandbox::new();
    let (ran, findings) = doctor(&sandbox, "");
    assert_eq!(ran.status, Some(0));
    assert_found(&findings, "database", "warning", &["gatherum.db does not exist yet", "creates it when it starts"]);
    assert!(!sandbox.path("gatherum.db").exists(), "the doctor creates nothing");
    filled(&sandbox).await.close().await;

    let (ran, findings) = doctor(&sandbox, "");

    assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""));
    for (check, part) in [
        ("settings", ""),
        ("clock", ""),
        ("port", "free"),
        ("database", "SQLite 3."),
        ("integrity", "intact"),
        ("durability", "wal"),
        ("permissions", ""),
        ("migrations", "applied"),
        ("time", "consistent"),
        ("accounts", "none"),
        ("counts", "correct"),
    ] {
        assert_found(&findings, check, "ok", &[part]);
    }
    assert!(findings["disk"]["found"].as_str().is_some_and(|found| found.contains("MiB free")), "{findings}");
    let lines = sandbox.run("doctor --bind 127.0.0.1:0").out;
    assert!(lines.lines().any(|line| line == "ok       counts       maintained counts are correct"), "{lines}");
}

#[tokio::test]
async fn the_doctor_finds_problems_and_repairs_counts() {
    let sandbox = Sandbox::new();
    let db = filled(&sandbox).await;
    let write = async |text: &'static str| {
        let mut tx = db.begin().await.expect("a transaction");
        let mut sql = tx.sql();
        sql.push(text);
        tx.execute("test", sql).await.expect("a statement");
        tx.commit().await.expect("a commit");
    };
    write("update collection_counts set n = n + 1 where artifact_type = 'skill'").await;
    write("update _sqlx_migrations set installed_on = '2999-01-01 00:00:00'").await;
    #[cfg(unix)]
    fs::set_permissions(sandbox.path("gatherum.db"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("a mode");

    let (ran, findings) = doctor(&sandbox, "");
    assert_eq!(ran.status, Some(1));
    assert_found(&findings, "counts", "problem", &["wrong", "doctor --repair"]);
    assert_found(&findings, "time", "problem", &["in the future", "clock"]);
    if cfg!(unix) {
        assert_found(&findings, "permissions", "warning", &["chmod 600", "gatherum.db"]);
    }
    let (_, findings) = doctor(&sandbox, "--repair");
    assert_found(&findings, "counts", "ok", &["corrected"]);
    assert_found(&doctor(&sandbox, "").1, "counts", "ok", &["are correct"]);

    write("insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (99, 'later', true, x'00', 0)").await;
    let (ran, findings) = doctor(&sandbox, "");
    assert_eq!(ran.status, Some(1));
    assert_found(&findings, "migrations", "problem", &["[99]", "newer release"]);

    write("delete from _sqlx_migrations").await;
    assert_found(&doctor(&sandbox, "").1, "migrations", "warning", &["pending", "migrate up"]);
    db.close().await;
}

#[tokio::test]
async fn the_doctor_checks_that_a_server_on_the_network_has_accounts() {
    let sandbox = Sandbox::new();
    let accounts = |insecure_open: &str| {
        let mut command = sandbox.gatherum("doctor --json --bind 0.0.0.0:0");
        let ran = run(command.env("GATHERUM_HTTP_INSECURE_OPEN", insecure_open));
        let findings: Value = serde_json::from_str(&ran.out).expect("JSON");
        let mut findings = findings.as_array().expect("a list").clone();
        findings.retain(|finding| finding["check"] == "accounts");
        assert_eq!(findings.len(), 1, "{ran:?}");
        (ran.status, findings.remove(0))
    };

    let (status, finding) = accounts("false");
    assert_eq!((status, &finding["level"]), (Some(1), &"problem".into()), "{finding}");
    assert!(finding["found"].as_str().is_some_and(|found| found.contains("will not start")), "{finding}");
    filled(&sandbox).await.close().await;
    assert_eq!(accounts("false").1["level"], "problem");
    let (status, finding) = accounts("true");
    assert_eq!((status, &finding["level"]), (Some(0), &"warning".into()), "{finding}");
    sandbox.run("user add ann");
    let (status, finding) = accounts("false");
    assert_eq!((status, &finding["level"]), (Some(0), &"ok".into()), "{finding}");
}

#[tokio::test]
async fn the_doctor_finds_a_damaged_file() {
    let sandbox = Sandbox::new();
    filled(&sandbox).await.close().await;
    let mut file = fs::File::options().write(true).open(sandbox.path("gatherum.db")).expect("the file");
    let pages = file.metadata().expect("its size").len() / 4_096;
    // The schema is in the first pages.
    for (first, check) in [(pages * 3 / 4, "integrity"), (1, "database")] {
        for page in first..pages {
            file.seek(SeekFrom::Start(page * 4_096)).expect("a page");
            file.write_all(&[0xff; 64]).expect("a write");
        }

        let (ran, findings) = doctor(&sandbox, "");

        assert_eq!(ran.status, Some(1));
        assert_found(&findings, check, "problem", &["restore a backup"]);
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
    }
}

#[test]
fn the_doctor_identifies_the_program_that_occupies_the_port() {
    let sandbox = Sandbox::new();
    let served = Served::start(sandbox.gatherum("--bind 127.0.0.1:0"));
    let port = |address: std::net::SocketAddr| {
        let ran = sandbox.run(&format!("doctor --bind {address}"));
        (ran.status, ran.out.lines().find(|line| line.contains(" port ")).expect("a line").to_owned())
    };

    assert_eq!(
        port(served.address),
        (Some(0), format!("ok       port         {} is served by gatherum", served.address))
    );
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = other.local_addr().expect("an address");
    let hangs_up = std::thread::spawn(move || drop(other.accept()));
    let (status, line) = port(address);
    assert!(status == Some(1) && line.contains("problem") && line.contains("used by another program"), "{line}");
    hangs_up.join().expect("a thread");
    let (status, line) = port("192.0.2.1:80".parse().expect("an address"));
    assert!(status == Some(1) && line.contains("cannot listen on 192.0.2.1:80"), "{line}");
}

#[cfg(unix)]
#[test]
fn the_doctor_compares_connections_with_open_files() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("sh");
    command.args(["-c", "ulimit -n 200; exec \"$0\" doctor --bind 127.0.0.1:0", crate::process::PROGRAM]);

    let ran = run(&mut command);

    assert!(ran.out.contains("warning  open files   limit 200, but 10000 connections may need 10109"), "{ran:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_raises_its_limit_of_open_files() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("sh");
    command.args(["-c", "ulimit -Sn 100; exec \"$0\" --bind 127.0.0.1:0", crate::process::PROGRAM]);

    let served = Served::start(command);

    let limits = fs::read_to_string(format!("/proc/{}/limits", served.child.id())).expect("a process");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a line");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert!(words[0] == words[1] && words[0] != "100", "{line}");
}

#[tokio::test]
async fn the_doctor_checks_postgresql() {
    if !Backend::all().await.contains(&Backend::Postgres) {
        return;
    }
    let test = Backend::Postgres.database().await;
    let sandbox = Sandbox::new();

    let (ran, findings) = doctor(&sandbox, &format!("--database-url {}", test.config.url));
    assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""), "{findings:#}");
    for (check, part) in [
        ("database", "PostgreSQL "),
        ("clocks", "agree"),
        ("connections", "allows"),
        ("migrations", "applied"),
        ("time", "consistent"),
        ("accounts", "none"),
        ("counts", "correct"),
    ] {
        assert_found(&findings, check, "ok", &[part]);
    }
    fs::write(sandbox.path("gatherum.toml"), "[database]\npool_size = 9000\n").expect("a file");
    let (ran, findings) = doctor(&sandbox, &format!("--database-url {}", test.config.url));
    assert_eq!(ran.status, Some(0));
    assert_found(&findings, "connections", "warning", &["may use 9010", "max_connections"]);

    let (ran, findings) = doctor(&sandbox, &format!("--database-url {}_gone", test.config.url));
    assert_eq!(ran.status, Some(1));
    assert_found(&findings, "database", "problem", &["does not exist", "DATABASE_URL"]);
}
