//! Persisted documents: manifests and their commands, automatic and trusted documents over all transports.
use std::{fs, io::Write as _, process::Stdio};

use serde_json::{Map, Value, json};

use crate::{
    backend::{Backend, TestDb},
    process::{Ran, Sandbox},
};

/// Manifests that client tools wrote for the same three operations, and the identifier of the query in each.
const MANIFESTS: [(&str, &str, &str); 4] = [
    (
        "codegen",
        include_str!("../manifests/codegen.json"),
        "2255f90e120b0537c2bd21887e156d71a04f10d34fb71b849f9611b7f35079d1",
    ),
    ("codegen 4", include_str!("../manifests/codegen-4.json"), "77e1a8fa10a4eb9e3099a3cda052282a2e535ebb"),
    ("relay", include_str!("../manifests/relay.json"), "b6cc2058e15f46a210b17c0cd967caa4"),
    (
        "apollo",
        include_str!("../manifests/apollo.json"),
        "49179d8cb074eaaf69ec9f0ae55553c7395ccb4c6f6b49107377b31a9d01215b",
    ),
];

/// The commands `documents …` on one database.
struct Documents {
    test: TestDb,
    sandbox: Sandbox,
}

impl Documents {
    async fn on(backend: Backend) -> Self {
        Self { test: backend.database().await, sandbox: Sandbox::new() }
    }

    fn run(&self, arguments: &str) -> Ran {
        self.run_with(arguments, "")
    }

    /// Runs `documents` with these arguments and this text as standard input.
    fn run_with(&self, arguments: &str, input: &str) -> Ran {
        let mut command = self.sandbox.gatherum(&format!("documents {arguments}"));
        command.env("DATABASE_URL", &self.test.config.url).env("GATHERUM_DOCUMENTS_TRUSTED_COUNT", "20");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a program that starts");
        let mut stdin = child.stdin.take().expect("its input");
        // A command that fails early does not read its input.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("its end");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ran { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The identifiers of `documents list`.
    fn listed(&self) -> Vec<String> {
        let ran = self.run("list");
        assert_eq!(ran.status, Some(0), "{ran:?}");
        ran.out.lines().map(|line| line.split(' ').next().expect("an identifier").to_owned()).collect()
    }
}

#[tokio::test]
async fn manifests_of_all_tools_are_added_listed_exported_and_removed() {
    for backend in Backend::all().await {
        let documents = Documents::on(backend).await;
        for (tool, manifest, query) in MANIFESTS {
            let added = documents.run_with("add -", manifest);

            assert_eq!((added.status, added.out.as_str()), (Some(0), "3 added, 0 replaced, 0 unchanged\n"), "{tool}");
            let listed = documents.run("list").out;
            let line =
                listed.lines().find(|line| line.starts_with(query)).unwrap_or_else(|| panic!("{tool}: {listed}"));
            assert!(line.contains(" query "), "{tool}: {line}");
        }
        let all = documents.listed();
        assert_eq!(all.len(), 12);
        let again = documents.run_with("add -", MANIFESTS[0].1).out;
        assert_eq!(again, "0 added, 0 replaced, 3 unchanged\n");

        let exported = documents.run("export").out;
        let manifest: Map<String, Value> = serde_json::from_str(&exported).expect("a manifest");
        assert_eq!(
            manifest["b6cc2058e15f46a210b17c0cd967caa4"].as_str().map(|text| &text[..26]),
            Some("query artifactsNamesQuery(")
        );
        assert_eq!(documents.run_with("add -", &exported).out, "0 added, 0 replaced, 12 unchanged\n");

        let removed = documents.run(&format!("remove {} unknown", all[0]));
        assert_eq!((removed.status, removed.out.as_str()), (Some(1), "1 removed\n"));
        assert!(removed.err.contains("`unknown` does not exist"), "{removed:?}");
        assert_eq!(documents.listed(), all[1..]);
        assert_eq!(documents.run("remove --all").out, "11 removed\n");
        assert_eq!(documents.run("list").out, "");
        assert_eq!(documents.run_with("add -", &exported).out, "12 added, 0 replaced, 0 unchanged\n");
    }
}

#[tokio::test]
async fn documents_are_added_all_or_none() {
    for backend in Backend::all().await {
        let documents = Documents::on(backend).await;
        let add = |arguments: &str, manifest: Value| documents.run_with(arguments, &manifest.to_string());
        let deep = format!("{{ artifacts {} }}", "{ nodes { collections ".repeat(20) + &"} }".repeat(20));
        let large = format!("{{ __typename }} # {}", "x".repeat(70_000));
        let cases = [
            (json!("{ nothing }"), "`bad`: 1:3: Cannot query field \"nothing\""),
            (json!("{ __typename"), "`bad`: 1:13: "),
            (json!("fragment F on Artifact { id }"), "`bad`: "),
            (json!(deep), "`bad`: "),
            (json!(large), "`bad`: "),
            (json!(""), "`bad`: "),
            (json!(7), "`bad` is not a text"),
        ];
        for (bad, reason) in cases {
            let ran = add("add -", json!({ "good": "{ __typename }", "bad": bad }));

            assert_eq!(ran.status, Some(2), "{ran:?}");
            assert!(ran.err.contains(reason) && ran.err.contains("nothing was added"), "{reason}: {ran:?}");
        }
        assert!(documents.listed().is_empty());

        // The cost of a page depends on a variable, and small pages are within the limits.
        let nested = "query Q($n: Int!) { artifacts(first: $n) { nodes { collections(first: $n) { nodes {
            artifacts(first: $n) { nodes { id } } } } } } }";
        let stored =
            add("add -", json!({ "nested": nested, "several": "query A { __typename } query B { __typename }" }));
        assert_eq!(stored.out, "2 added, 0 replaced, 0 unchanged\n", "{stored:?}");
        assert!(documents.run("list").out.contains(" query A, query B\n"));

        let changed = json!({ "nested": "{ __typename }", "new": "{ __typename }" });
        let conflict = add("add -", changed.clone());
        assert!(
            conflict.status == Some(2) && conflict.err.contains("`nested` is stored with another text"),
            "{conflict:?}"
        );
        assert_eq!(documents.listed(), ["nested", "several"]);
        let dry = add("add - --replace --dry-run", changed.clone());
        assert_eq!(dry.out, "1 added, 1 replaced, 0 unchanged\ndry run: nothing was written\n");
        assert_eq!(documents.listed(), ["nested", "several"]);
        assert_eq!(add("add - --replace", changed).out, "1 added, 1 replaced, 0 unchanged\n");
        assert_eq!(documents.listed(), ["nested", "new", "several"]);

        let many: Map<String, Value> = (0..18).map(|n| (format!("many-{n}"), json!("{ __typename }"))).collect();
        let many = add("add -", many.into());
        assert!(many.status == Some(1) && many.err.contains("21 trusted documents, 20 are allowed"), "{many:?}");
        assert_eq!(documents.listed().len(), 3);
    }
}

#[tokio::test]
async fn several_files_are_one_addition() {
    let documents = Documents::on(Backend::Sqlite).await;
    for (name, manifest) in [
        ("a.json", json!({ "one": "{ __typename }", "shared": "{ a: __typename }" })),
        ("b.json", json!({ "two": "{ b: __typename }", "shared": "{ a: __typename }" })),
        ("c.json", json!({ "shared": "{ c: __typename }" })),
    ] {
        fs::write(documents.sandbox.path(name), manifest.to_string()).expect("a file");
    }

    let ran = documents.run("add a.json b.json c.json missing.json");
    assert!(ran.status == Some(1) && ran.err.contains("cannot read missing.json"), "{ran:?}");
    let ran = documents.run("add a.json b.json c.json");
    assert!(
        ran.status == Some(2) && ran.err.contains("c.json: `shared`: another document has this identifier"),
        "{ran:?}"
    );
    assert_eq!(documents.run("add a.json b.json").out, "3 added, 0 replaced, 0 unchanged\n");
    assert_eq!(documents.run("add").status, Some(2), "a file is required");
    assert_eq!(documents.run("remove").status, Some(2), "an identifier is required");
}
