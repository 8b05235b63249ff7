//! The commands of the README run, and its settings and flags are those of the program.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::json;

use crate::{
    process::{PROGRAM, Sandbox, Served, run},
    transfer,
};

const README: &str = include_str!("../../README.md");
const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");
const CONTRIBUTING: &str = include_str!("../../CONTRIBUTING.md");

/// Commands that are not run here, with the reason.
const SKIPPED: [(&str, &str); 1] = [("cargo test", "it runs this test")];

/// The README builds and starts the program with this prefix.
const BUILD_AND_RUN: &str = "cargo run -- ";

/// The commands of the fenced shell blocks, without comments, continued lines joined.
fn commands(text: &str) -> Vec<String> {
    let blocks = text.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sh\n"));
    let lines = blocks.flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>());
    let commands = lines.map(|line| line.split("  #").next().unwrap_or_default().trim().to_owned());
    commands.filter(|command| !command.is_empty()).collect()
}

/// Creates the files that the README's examples import.
async fn provide_sources(sandbox: &Sandbox) {
    for folder in [".skillmeat/cache", ".claude/skills/one", ".claude/agents", ".claude/commands"] {
        fs::create_dir_all(sandbox.path(folder)).expect("a folder");
    }
    transfer::database_of(transfer::SHAPES[0], &sandbox.path(".skillmeat/cache/cache.db")).await;
    let deal = json!({
        "deal_brain_export": { "version": "1.0.0", "type": "collection" },
        "data": {
            "collection": { "id": 15, "name": "Small ones", "created_at": "2025-11-10T12:00:00Z" },
            "items": [{ "listing": { "listing": { "id": 2, "title": "B" } }, "position": 1, "status": "undecided" }],
        },
    });
    for (name, text) in [
        (".claude/skills/one/SKILL.md", "---\nname: one\ndescription: What it does.\n---\n# One\n"),
        ("export.json", deal.to_string().as_str()),
        ("list.csv", "type,name,description,tags,collections\nskill,listed,,a;b,Some\n"),
    ] {
        fs::write(sandbox.path(name), text).expect("a file");
    }
    let elsewhere = sandbox.run("import csv list.csv --database-url sqlite://elsewhere.db");
    assert_eq!(elsewhere.status, Some(0), "{elsewhere:?}");
    assert_eq!(sandbox.run("export catalogue.ndjson --database-url sqlite://elsewhere.db").status, Some(0));
}

#[tokio::test]
async fn the_commands_of_the_readme_run() {
    let sandbox = Sandbox::new();
    provide_sources(&sandbox).await;
    let folder_of_program = Path::new(PROGRAM).parent().expect("a folder").display();
    let path = format!("{folder_of_program}:{}", std::env::var("PATH").unwrap_or_default());
    let shell = |line: &str| {
        let mut command = sandbox.command("sh");
        command.args(["-c", line]).env("PATH", &path).env("HOME", sandbox.path(""));
        command
    };
    let has_curl = run(&mut shell("command -v curl")).status == Some(0);
    let mut served: Option<Served> = None;
    let mut skipped = BTreeSet::new();
    for command in commands(README) {
        if let Some((name, _)) = SKIPPED.iter().find(|(name, _)| *name == command) {
            skipped.insert(*name);
        } else if let Some(arguments) = command.strip_prefix(BUILD_AND_RUN) {
            let mut server = sandbox.gatherum(arguments);
            server.env("GATHERUM_BIND", "127.0.0.1:0");
            served = Some(Served::start(server));
            assert!(sandbox.path("gatherum.db").exists(), "{command} makes it");
        } else if command.starts_with("curl ") {
            let address = served.as_ref().expect("a server, started by a command before").address;
            assert!(command.contains("localhost:8080"), "{command}");
            if !has_curl {
                eprintln!("SKIPPED: there is no curl for {command}");
                continue;
            }
            let ran = run(&mut shell(&command.replace("localhost:8080", &address.to_string())));
            let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
            assert!(answer.get("errors").is_none() && answer["data"] != json!(null), "{command}: {answer}");
            assert_eq!(answer["extensions"]["gatherum"]["statements"], 3, "{answer}");
        } else if command.starts_with("gatherum ") {
            let ran = run(&mut shell(&command));
            assert_eq!(ran.status, Some(0), "{command}: {ran:?}");
            if command.starts_with("gatherum import ") {
                let before = sandbox.run("export").out;
                let again = run(&mut shell(&format!("{command} --dry-run && {command}")));
                assert_eq!(again.status, Some(0), "{command}: {again:?}");
                assert_eq!(sandbox.run("export").out, before, "{command} twice");
            }
        } else {
            panic!("neither run nor skipped: {command}");
        }
    }
    assert_eq!(skipped.len(), SKIPPED.len(), "the README has all commands that are skipped");
    assert!(served.is_some());
}

/// The commands of the program, each with its help.
fn helps() -> BTreeMap<String, String> {
    let sandbox = Sandbox::new();
    let mut found = BTreeMap::new();
    let mut open = vec![String::new()];
    while let Some(command) = open.pop() {
        let help = sandbox.run(&format!("{command} --help")).out;
        let listed = help.split("Commands:\n").nth(1).unwrap_or_default().lines();
        for line in listed.take_while(|line| !line.is_empty()) {
            // A line with a deeper indent continues the line before.
            let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '));
            let name = name.and_then(|rest| rest.split_whitespace().next()).unwrap_or("help");
            if name != "help" {
                open.push(format!("{command} {name}").trim().to_owned());
            }
        }
        found.insert(command, help);
    }
    found
}

/// The text in backticks, except fenced blocks.
fn quoted(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_command_and_flag_of_the_documents_is_one() {
    let helps = helps();
    assert!(helps.contains_key("import skillmeat") && helps.contains_key("migrate down"), "{:?}", helps.keys());
    let all_help: String = helps.values().map(String::as_str).collect();
    for text in [README, ARCHITECTURE, CONTRIBUTING] {
        let fenced = commands(text);
        for command in quoted(text).into_iter().chain(fenced.iter().map(String::as_str)) {
            let arguments = command.strip_prefix("gatherum ").or_else(|| command.strip_prefix(BUILD_AND_RUN));
            let words: Vec<&str> = arguments.unwrap_or_default().split_whitespace().collect();
            let mut known = String::new();
            for word in words.iter().take_while(|word| !word.starts_with('-')) {
                let longer = format!("{known} {word}").trim().to_owned();
                if helps.contains_key(&longer) {
                    known = longer;
                    continue;
                }
                assert!(!helps[&known].contains("Commands:\n"), "`{command}`: {word} is no command");
                break;
            }
            let flags = words.iter().copied().chain((words.is_empty() && command.starts_with("--")).then_some(command));
            for flag in flags.filter(|word| word.starts_with("--")) {
                let flag = flag.split([' ', '=']).next().unwrap_or_default();
                assert!(all_help.contains(&format!("{flag} ")) || all_help.contains(&format!("{flag}\n")), "{command}");
            }
        }
    }
}

/// The variable and the default of each setting, by its key.
fn settings() -> BTreeMap<String, (String, String)> {
    let example = Sandbox::new().run("config example").out;
    let (mut section, mut variable, mut found) = ("", "", BTreeMap::new());
    for line in example.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some(name) = line.strip_prefix("# Environment: ") {
            variable = name;
        } else if let Some((name, default)) = line.strip_prefix('#').and_then(|line| line.split_once(" ="))
            && !name.starts_with(' ')
        {
            found.insert(format!("{section}.{name}"), (variable.to_owned(), default.trim().replace('"', "")));
        }
    }
    found
}

#[test]
fn the_table_of_settings_is_the_programs() {
    let settings = settings();
    assert!(settings.len() > 40, "{settings:?}");
    let table = README.split("| variable | default | meaning |").nth(1).expect("a table");
    let mut documented = BTreeMap::new();
    for row in table.lines().skip(2).take_while(|row| row.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let defaults = cells[1].replace('`', "");
        let variables: Vec<&str> = quoted(cells[0]);
        let defaults: Vec<&str> = if variables.len() > 1 { defaults.split(", ").collect() } else { vec![&defaults] };
        for (place, variable) in variables.into_iter().enumerate() {
            documented.insert(variable.to_owned(), defaults.get(place).copied().unwrap_or_default().to_owned());
        }
    }
    assert!(documented.remove("GATHERUM_<SECTION>_<NAME>").is_some(), "the pattern of all other variables");
    for (key, (variable, default)) in &settings {
        let is_regular = *variable == format!("GATHERUM_{}", key.replace('.', "_").to_uppercase());
        let Some(written) = documented.remove(variable) else {
            assert!(is_regular, "{variable} is not in the README's table");
            continue;
        };
        let duration = |text: &str| humantime::parse_duration(text).ok();
        let is_none = default.is_empty() && written == "none";
        assert!(
            is_none
                || written == *default
                || duration(&written).is_some_and(|written| Some(written) == duration(default)),
            "{variable}: {written} is not {default}"
        );
    }
    assert!(documented.is_empty(), "no settings of the program: {documented:?}");
}

#[test]
fn every_setting_that_the_documents_name_is_one() {
    let settings = settings();
    let sections: BTreeSet<&str> = settings.keys().filter_map(|key| key.split('.').next()).collect();
    let variables: BTreeSet<&str> = settings.values().map(|(variable, _)| variable.as_str()).collect();
    let mut named = BTreeSet::new();
    for word in [README, ARCHITECTURE, CONTRIBUTING].into_iter().flat_map(quoted) {
        let is_key = word.split_once('.').is_some_and(|(section, name)| {
            sections.contains(section) && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        });
        if is_key {
            assert!(settings.contains_key(word), "`{word}` is no setting");
            named.insert(word);
        }
        if word.starts_with("GATHERUM_") && !word.starts_with("GATHERUM_TEST_") && !word.contains('<') {
            assert!(variables.contains(word), "`{word}` is no variable");
        }
    }
    // Operators of a server on a network need these settings.
    for key in settings.keys().filter(|key| key.starts_with("http.")) {
        let is_elsewhere =
            ["http.bind", "http.graphiql", "http.report_always", "http.server_timing", "http.allowed_hosts"];
        assert!(named.contains(key.as_str()) || is_elsewhere.contains(&key.as_str()), "{key} is in no document");
    }
}
