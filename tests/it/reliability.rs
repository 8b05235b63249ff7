//! The measurement commands of `bench/reliability` in their short form, which checks no times that depend on the machine.
use std::{path::Path, process::Command};

use crate::process::{PROGRAM, run};

/// Set by CI: missing programs are then a failure, not a reason to skip.
const REQUIRED: &str = "GATHERUM_TEST_REQUIRE_POSTGRES";

fn exists(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Whether a command can run here.
fn can_run(command: &str, is_present: bool) -> bool {
    if !is_present {
        assert!(std::env::var(REQUIRED).is_err(), "{command} cannot run here");
        eprintln!("SKIPPED: {command} cannot run here");
    }
    is_present
}

fn measure(command: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/reliability").join(command);

    let ran = run(Command::new("python3").arg("-B").arg(path).args(["--short", "--program", PROGRAM]));

    assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
}

#[test]
fn a_server_under_overload_responds_or_rejects() {
    if can_run("overload.py", exists("python3")) {
        measure("overload.py");
    }
}

#[test]
fn a_server_survives_outages_of_its_database() {
    let has_postgres = Path::new("/usr/lib/postgresql").is_dir() || (exists("initdb") && exists("pg_ctl"));
    if can_run("database_outage.py", exists("python3") && has_postgres) {
        measure("database_outage.py");
    }
}

#[test]
fn a_server_that_is_stopped_loses_no_request() {
    if can_run("shutdown.py", exists("python3")) {
        measure("shutdown.py");
    }
}
