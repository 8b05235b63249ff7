use serde_json::json;

use super::*;

fn values(text: &str) -> Value {
    Value::Object(FrontMatter::read(text).values)
}

/// The values of front matter with these lines, and the lines of its deviations.
fn read(lines: &str) -> (Value, Vec<usize>) {
    let front = FrontMatter::read(&format!("---\n{lines}\n---\nBody\n"));
    let lines = front.deviations.iter().map(|deviation| deviation.line).collect();
    (Value::Object(front.values), lines)
}

#[test]
fn one_invalid_line_leaves_the_others_as_they_are() {
    let cases = [
        (
            "name: x\ndescription: |\n  Line one.\n  Line two.\nargument-hint: [file] [--flag]",
            json!({ "name": "x", "description": "Line one.\nLine two.\n", "argument-hint": "[file] [--flag]" }),
            vec![6],
        ),
        (
            "argument-hint: [file] [--flag]\ndescription: >-\n  Line one.\n  Line two.\n",
            json!({ "argument-hint": "[file] [--flag]", "description": "Line one. Line two." }),
            vec![2],
        ),
        (
            "name: 'x'\ndescription: Use when: always\ntags: [a, b]",
            json!({ "name": "x", "description": "Use when: always", "tags": ["a", "b"] }),
            vec![3],
        ),
        (
            "description: Use when: always # and never\ntools:\n  - Read\n  - Bash(git: *)\n  - \"Write\"",
            json!({ "description": "Use when: always # and never", "tools": ["Read", "Bash(git: *)", "Write"] }),
            vec![2, 5],
        ),
        (
            "name: x\nmetadata:\n  author: me: myself\n  version: 1.10\n  keys:\n    on: no\nhooks: {a: [b}",
            json!({ "name": "x", "metadata": { "author": "me: myself", "version": "1.10", "keys": { "on": "no" } }, "hooks": "{a: [b}" }),
            vec![4, 8],
        ),
        ("name:x\ndescription: y", json!({ "name": "x", "description": "y" }), vec![2]),
        ("name: x\n\tdescription: y: z", json!({ "name": "x description: y: z" }), vec![2]),
    ];
    for (lines, expected, deviations) in cases {
        assert_eq!(read(lines), (expected, deviations), "{lines}");
    }
}

#[test]
fn unquoted_texts_are_read_to_their_end() {
    let cases = [
        ("Does things: many.\n\n  Keywords: alpha, beta", "Does things: many.\nKeywords: alpha, beta"),
        ("First: line\n  goes on\ncontinues unindented", "First: line goes on continues unindented"),
        ("Use for: these\n  - one\n  - two", "Use for: these\n- one\n- two"),
        (
            "Use when: asked\n<example>\nuser: \"Hi\"\nassistant: \"Yes\"\n</example>",
            "Use when: asked\n<example>\nuser: \"Hi\" assistant: \"Yes\"\n</example>",
        ),
        ("\"quoted\" and then more", "\"quoted\" and then more"),
        ("\"one\" and \"two\"", "\"one\" and \"two\""),
        ("\"say \"hi\" now\"", "say \"hi\" now"),
        ("\"matches \\d+ and \\\"x\\\"\"", "matches \\d+ and \"x\""),
        ("'It's fine'", "It's fine"),
        ("\"not closed", "not closed"),
        ("[WIP] not a list", "[WIP] not a list"),
        ("[WIP]", "[WIP]"),
        ("@mention", "@mention"),
        ("`code`", "`code`"),
        ("%done", "%done"),
        ("*bold*", "*bold*"),
        ("&more than an anchor", "&more than an anchor"),
        ("!important note", "!important note"),
        ("{{x}} text", "{{x}} text"),
        ("{{x}}", "{{x}}"),
        ("- a dash", "- a dash"),
        ("a path: C:\\dir", "a path: C:\\dir"),
        ("|\n  text\nless: indented", "text\n"),
    ];
    for (source, expected) in cases {
        let read = values(&format!("---\nname: n\ndescription: {source}\nversion: 2\n---\n"));
        assert_eq!(read["description"], *expected, "{source}");
        assert_eq!((&read["name"], &read["version"]), (&json!("n"), &json!(2)), "{source}");
    }
}

#[test]
fn scalars_keep_their_source_text() {
    let scalars =
        ["1.10", "1e3", "007", "0x1F", "no", "on", "Yes", "NULL", "2026-01-31", "1_000", ".5", "+1", "12:30", "-0"];
    for scalar in scalars {
        for (valid, note) in [("", 0), ("\nbroken: a: b", 1)] {
            let (values, deviations) = read(&format!("x: {scalar}{valid}"));
            assert_eq!((&values["x"], deviations.len()), (&json!(scalar), note), "{scalar}");
        }
    }
    let (values, _) = read("a: true\nb: 12\nc: 1.5\nd: null\ne:\nf: [1.10, 2, no]\ng: '1'\nh: !!str 3");
    let expected =
        json!({ "a": true, "b": 12, "c": 1.5, "d": null, "e": null, "f": ["1.10", 2, "no"], "g": "1", "h": "3" });
    assert_eq!(values, expected);
}

#[test]
fn fences_may_have_spaces_after_them_and_a_text_may_start_with_a_rule() {
    let x = json!({ "name": "x" });
    for text in [
        "--- \nname: x\n---\t\nbody",
        "\u{feff}---\nname: x\n---\nbody",
        "---\r\nname: x\r\n---\r\nbody\r\n",
        "---\nname: x\n---",
        "---\nname: x\n...\nbody",
        "---\nname: x\n---\n- a list\n---\nmore",
        "\n\n---\nname: x\n---\n",
        "---\n\nname: x\n\n---\n",
    ] {
        assert_eq!(values(text), x, "{text:?}");
    }
    for text in [
        "",
        "---",
        "---\n---\n# Title\n\nImportant\n\n---\n\nrest\n",
        "---\n\nIntro text.\n\n---\n\nBody: text\n",
        "---\n\nIntro: text.\nMore text.\n\n---\n",
        "---\n# Title\n\n---\n",
        "----\nname: x\n----\n",
        "--- x\nname: x\n---\n",
        "# Title\n---\nname: x\n---\n",
        "<!-- comment -->\n---\nname: x\n---\n",
        "---\n- a\n- b\n---\n",
    ] {
        let front = FrontMatter::read(text);
        assert_eq!(front, FrontMatter::default(), "{text:?}");
    }
    let unclosed = FrontMatter::read("---\nname: x\n\nBody\n");
    assert_eq!((unclosed.values.len(), unclosed.deviations.len()), (0, 1));
}

#[test]
fn duplicate_keys_and_comments_within_texts_are_reported() {
    for lines in ["name: a\nname: b", "name: a\nname: b\nother: x: y"] {
        let (values, deviations) = read(lines);
        assert_eq!((&values["name"], deviations[0]), (&json!("b"), 3), "{lines}");
    }
    assert_eq!(read("name: fixes issue #12 quickly # a comment"), (json!({ "name": "fixes issue" }), vec![2]));
    assert_eq!(read("name: x # a comment"), (json!({ "name": "x" }), vec![]));
}

#[test]
fn anchors_and_merge_keys_are_resolved_within_limits() {
    let (values, deviations) = read("base: &b {x: 1}\nmore:\n  <<: *b\n  y: *b");
    assert_eq!((&values["more"], deviations.len()), (&json!({ "x": 1, "y": { "x": 1 } }), 0));

    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]".to_owned();
    for n in 1..9 {
        bomb.push_str(&format!("\na{n}: &a{n} [{}]", vec![format!("*a{}", n - 1); 10].join(", ")));
    }
    for lines in [bomb, format!("name: {}", "[".repeat(100_000)), format!("name: {}", "- ".repeat(100_000))] {
        let (values, deviations) = read(&format!("description: d\n{lines}"));
        assert_eq!((&values["description"], deviations.is_empty()), (&json!("d"), false));
    }
}

#[test]
fn a_changed_byte_of_a_value_leaves_the_other_values_as_they_are() {
    let lines = [
        ("name", "name: one"),
        ("description", "description: Use when: always"),
        ("version", "version: \"1.10\""),
        ("tags", "tags: [a, 'b']"),
        ("license", "license: 'MIT'"),
        ("model", "model: last"),
    ];
    let source = format!("---\n{}\n---\nBody\n", lines.map(|(_, line)| line).join("\n"));
    let original = values(&source);
    let mut start = "---\n".len();
    for (key, line) in lines {
        for index in start + key.len() + 2..start + line.len() {
            for byte in b"\"',;:\n\r\t x#{[]}|>&*!%@`-?" {
                let mut bytes = source.clone().into_bytes();
                bytes[index] = *byte;
                let changed = String::from_utf8(bytes).expect("ASCII");
                let found = values(&changed);
                let others = lines.into_iter().filter(|(other, _)| *other != key);
                for (other, _) in others {
                    assert_eq!(found[other], original[other], "{other} of {changed}");
                }
            }
        }
        start += line.len() + 1;
    }
}

#[test]
fn no_changed_byte_makes_the_reader_panic() {
    let source =
        "---\nname: |2-\n    x\nbase: &a {b: [1, '2'], \"c\": *a}\nd:\n  - e: f: g\n  - - h\n\t?\n<<: *a\n---\n\n---\n";
    for index in 0..source.len() {
        for byte in 0..128 {
            let mut bytes = source.as_bytes().to_owned();
            bytes[index] = byte;
            FrontMatter::read(&String::from_utf8(bytes).expect("ASCII"));
        }
    }
}
