//! Public cases of imported data: each is covered by a test, or waits for a change.
//!
//! The inputs of the cases are prose, so that a case cannot be run from its file. The tests named here contain them.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::requests::SHARED_VARIABLE;

/// Public cases with the tests that contain their inputs: a file of `tests/it` or of `src/transfer`, and a function.
const COVERED: [(&str, &str, &str); 35] = [
    ("CL01", "src/transfer/claude/front_matter/tests.rs", "one_invalid_line_leaves_the_others_as_they_are"),
    ("CL02", "src/transfer/claude/front_matter/tests.rs", "one_invalid_line_leaves_the_others_as_they_are"),
    ("CL05", "src/transfer/claude/front_matter/tests.rs", "unquoted_texts_are_read_to_their_end"),
    (
        "CL07",
        "src/transfer/claude/front_matter/tests.rs",
        "fences_may_have_spaces_after_them_and_a_text_may_start_with_a_rule",
    ),
    (
        "CL08",
        "src/transfer/claude/front_matter/tests.rs",
        "fences_may_have_spaces_after_them_and_a_text_may_start_with_a_rule",
    ),
    ("CL10", "src/transfer/claude/front_matter/tests.rs", "scalars_keep_their_source_text"),
    ("CL12", "tests/it/claude.rs", "front_matter_is_read_as_people_write_it_and_repairs_are_reported"),
    ("CL13", "src/transfer/claude/front_matter/tests.rs", "unquoted_texts_are_read_to_their_end"),
    ("CL14", "src/transfer/claude/front_matter/tests.rs", "anchors_and_merge_keys_are_resolved_within_limits"),
    (
        "CL15",
        "src/transfer/claude/front_matter/tests.rs",
        "fences_may_have_spaces_after_them_and_a_text_may_start_with_a_rule",
    ),
    ("CL16", "tests/it/claude.rs", "links_are_followed_and_files_that_are_not_imported_are_reported"),
    ("CL17", "tests/it/claude.rs", "links_are_followed_and_files_that_are_not_imported_are_reported"),
    ("CL19", "tests/it/claude.rs", "front_matter_is_read_as_people_write_it_and_repairs_are_reported"),
    ("CL20", "tests/it/claude.rs", "an_unreadable_file_is_rejected_alone"),
    ("CL22", "tests/it/claude.rs", "front_matter_is_read_as_people_write_it_and_repairs_are_reported"),
    ("CL23", "tests/it/claude.rs", "links_are_followed_and_files_that_are_not_imported_are_reported"),
    ("CL24", "src/transfer/claude/front_matter/tests.rs", "anchors_and_merge_keys_are_resolved_within_limits"),
    ("CL26", "tests/it/claude.rs", "an_unreadable_file_is_rejected_alone"),
    ("CS01", "tests/it/formats.rs", "a_rejected_csv_row_rejects_no_other_row"),
    ("CS03", "tests/it/formats.rs", "a_rejected_csv_row_rejects_no_other_row"),
    ("CS04", "src/transfer/csv/rows.rs", "a_wrong_quote_rejects_its_line_alone"),
    ("CS06", "tests/it/formats.rs", "csv_is_read_as_spreadsheets_write_it"),
    ("CS07", "src/transfer/csv/header.rs", "separators_and_the_case_of_names_are_recognised"),
    ("CS09", "tests/it/formats.rs", "csv_is_read_as_spreadsheets_write_it"),
    ("CS10", "src/transfer/csv/rows.rs", "bytes_that_are_not_utf_8_are_rejected_with_their_column"),
    ("CS13", "src/transfer/time.rs", "times_without_a_zone_are_utc"),
    ("CS14", "tests/it/formats.rs", "csv_is_read_as_spreadsheets_write_it"),
    ("DB01", "tests/it/formats.rs", "ids_and_titles_of_deal_brain_are_local_to_their_export"),
    ("DB03", "tests/it/formats.rs", "ids_and_titles_of_deal_brain_are_local_to_their_export"),
    ("DB04", "tests/it/formats.rs", "ids_and_titles_of_deal_brain_are_local_to_their_export"),
    ("ND01", "tests/it/formats.rs", "records_that_refer_to_a_rejected_one_are_rejected_with_the_cause"),
    ("ND07", "src/transfer/tests.rs", "a_changed_byte_of_ndjson_affects_its_line_and_the_next_one"),
    ("ND08", "tests/it/formats.rs", "files_of_other_formats_are_named"),
    ("ND10", "tests/it/formats.rs", "records_that_refer_to_a_rejected_one_are_rejected_with_the_cause"),
    ("SM02", "tests/it/formats.rs", "a_skillmeat_database_is_recognised_by_its_columns"),
];

/// Public cases without a test that is named here. The list may only become shorter.
const PENDING: [&str; 28] = [
    "CF01", "CF03", "CF04", "CL25", "CL30", "CS11", "CS15", "ND03", "ND04", "ND06", "ND11", "OP01", "OP02", "OP04",
    "OP06", "OP07", "OP08", "OP09", "PG01", "PG02", "PG03", "PG05", "PG07", "SM01", "TG01", "TG02", "TG04", "TK01",
];

#[derive(Deserialize)]
struct PublicCase {
    id: String,
}

#[derive(Deserialize)]
struct PublicCases {
    cases: Vec<PublicCase>,
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_tests_of_covered_cases_exist() {
    let mut sources: BTreeMap<&str, String> = BTreeMap::new();
    for (id, file, function) in COVERED {
        let source = sources.entry(file).or_insert_with(|| fs::read_to_string(repository(file)).expect(file));
        assert!(source.contains(&format!("fn {function}(")), "{id}: there is no {function} in {file}");
    }
}

#[test]
fn every_public_case_is_covered_or_pending() {
    let shared = std::env::var_os(SHARED_VARIABLE).map_or_else(|| repository("../shared"), PathBuf::from);
    let path = shared.join("cases/data.json");
    let Ok(text) = fs::read_to_string(&path) else {
        return eprintln!("SKIPPED: no public cases at {}; set {SHARED_VARIABLE}", path.display());
    };
    let cases = serde_json::from_str::<PublicCases>(&text).expect("cases").cases;
    let ids: BTreeSet<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    let listed: Vec<&str> = COVERED.iter().map(|(id, ..)| *id).chain(PENDING).collect();

    assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), ids);
    assert_eq!(listed.len(), ids.len(), "a case is listed twice");
}
