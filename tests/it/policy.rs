//! No statement forgets whose eyes it reads with.
use std::{collections::BTreeSet, fs, path::Path};

/// Tables of what belongs to somebody.
const TABLES: [&str; 9] = [
    "artifacts ",
    "collections ",
    "collection_artifacts ",
    "groups ",
    "group_artifacts ",
    "artifact_versions ",
    "artifact_tags ",
    "share_links ",
    "shares ",
];

/// Items of the catalogue that read one of them without a condition, and why nobody sees more by it.
const REACHED: &[(&str, &str)] = &[
    ("artifact/ArtifactOfVersion", SEEN),
    ("artifact/ArtifactsOfCollection", SEEN),
    ("artifact/ArtifactsOfGroup", SEEN),
    ("artifact/ContentOfArtifact", SEEN),
    ("artifact/MetadataOfArtifact", SEEN),
    ("artifact/VersionCount", SEEN),
    ("artifact/delete", LOCKED),
    ("artifact/namesakes", OWN),
    ("artifact/refuse_taken_names", OWN),
    ("collection/CollectionOfGroup", SEEN),
    ("collection/GroupCount", SEEN),
    ("collection/append", "puts only what may be held, and tells of no other"),
    ("collection/copy_members", "copies from what was locked or is seen, and only what may be held"),
    ("collection/delete", LOCKED),
    ("collection/free_name", OWN),
    ("collection/held_artifacts", "a table for those two"),
    ("collection/Members", "is a condition on members of a collection that is seen"),
    ("collection/keeps_all", LOCKED),
    ("collection/live_counts", SEEN),
    ("collection/repair_counts", "the server's own work"),
    ("collection/take_out", LOCKED),
    ("collection/write_withdrawal", "takes the viewer's own artifacts out of others' collections"),
    ("collection/wrong_counts", "the server's own work"),
    ("group/ArtifactCount", SEEN),
    ("group/PlaceOfGroup", SEEN),
    ("group/append", LOCKED),
    ("group/copy_all", "copies from a collection that is seen"),
    ("group/copy_members", "copies from a group that is seen"),
    ("group/delete", LOCKED),
    ("group/group_before", LOCKED),
    ("group/insert", LOCKED),
    ("group/remove", LOCKED),
    ("sharing/LinkByHash", "whoever has the token may"),
    ("sharing/TargetOfShare", "who sees the link or the share sees what it leads to"),
    ("sharing/copy", SHARED),
    ("sharing/create", "counts the viewer's own links, or shares"),
    ("sharing/import", SHARED),
    ("sharing/shared", SHARED),
    ("tag/TagsOfArtifact", SEEN),
    ("tag/link", LOCKED),
    ("tag/untag", LOCKED),
    ("user/OwnerOfArtifact", SEEN),
    ("user/OwnerOfCollection", SEEN),
];

const SEEN: &str = "is reached from an object that is seen, and seen with it";
const LOCKED: &str = "comes after the statement that locks what the viewer may change";
const OWN: &str = "looks for names of the same owner";
const SHARED: &str = "reads what a share leads to, after the share was found to be the viewer's";

/// The items of a file that hold statements: what stands between two empty lines at its margin, up to its tests.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.split("\n}\n").flat_map(|block| block.split("\n\nconst ")).map(str::trim)
}

/// What an item is called: its first line that is no comment and no attribute.
fn name(item: &str) -> String {
    let line = item.lines().find(|line| {
        let line = line.trim();
        let is_name = line.starts_with("pub fn ")
            || line.starts_with("pub async fn ")
            || line.starts_with("pub(super) async fn ")
            || line.starts_with("async fn ")
            || line.starts_with("fn ")
            || line.starts_with("impl ")
            || line.contains("(\"");
        is_name && !line.starts_with("//")
    });
    let line = line.unwrap_or_default().trim();
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    for (start, skip) in
        [("pub async fn ", 13), ("pub(super) async fn ", 20), ("pub fn ", 7), ("async fn ", 9), ("fn ", 3)]
    {
        if line.starts_with(start) {
            return word(&line[skip..]);
        }
    }
    for start in ["impl List for ", "impl Relation for ", "impl "] {
        if let Some(of) = line.strip_prefix(start) {
            return word(of);
        }
    }
    word(line.trim_start_matches("pub "))
}

#[test]
fn every_statement_says_whose_eyes_it_reads_with() {
    let mut folders = vec![Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/catalog")).to_owned()];
    let mut without = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
            if file == "policy.rs" || !file.ends_with(".rs") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("a text");
            for item in items(&text) {
                let reads =
                    |table: &&str| ["from ", "join "].iter().any(|word| item.contains(&format!("{word}{table}")));
                let is_own = item.contains("policy::")
                    || item.contains("fn policy(sql: &mut Sql)")
                    || item.contains("own(sql)")
                    || item.contains("conditions(sql)");
                if TABLES.iter().any(reads) && !is_own {
                    without.insert(format!("{folder}/{}", name(item)));
                }
            }
        }
    }
    let known: BTreeSet<String> = REACHED.iter().map(|(item, _)| (*item).to_owned()).collect();

    assert_eq!(without, known, "write the condition, or say here why it needs none");
}
