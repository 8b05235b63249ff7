//! Statements on protected tables have a policy or an exemption.
//!
//! The build checks each text (`db::template`). This test checks that the catalogue's statements are such texts.
use std::{fs, path::Path};

#[test]
fn every_statement_of_the_catalogue_is_a_checked_text() {
    let mut folders = vec![Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/catalog")).to_owned()];
    let mut unchecked = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).expect("a text");
            let lines = text.lines().enumerate();
            let appended =
                lines.filter(|(_, line)| line.contains("sql.push(") || line.trim_start().starts_with(".push(\""));
            unchecked.extend(appended.map(|(number, _)| format!("{}:{}", path.display(), number + 1)));
        }
    }

    assert!(unchecked.is_empty(), "write these with `append!` or `statement!`: {unchecked:#?}");
}
