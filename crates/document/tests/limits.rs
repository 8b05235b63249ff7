//! Hostile documents are rejected, or validated in little time.
use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use gatherum_document::{CheckError, Document, Limits, Options, ParseErrorKind, Schema};

const SDL: &str = "
type Query { on(id: ID): Query a: Int b: Int c(x: Any): Int }
scalar Any
";

/// Exponential or quadratic work takes minutes and more; what is bounded takes milliseconds, and seconds at most on a busy
/// machine without optimisation. `benches/validation.rs` measures some of these documents.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Limits that leave everything to validation.
fn generous() -> Limits {
    Limits { bytes: 4 << 20, tokens: 400_000, nesting: 64 }
}

fn check(text: &str, limits: &Limits) -> Result<Document, CheckError> {
    let schema = Schema::parse(SDL).expect("a valid schema");
    let start = Instant::now();
    let result = schema.check(text, limits, &Options::default());
    let elapsed = start.elapsed();
    assert!(elapsed < TIME_MAX, "{elapsed:?}: {}", &text[..text.len().min(80)]);
    result
}

fn rules(result: Result<Document, CheckError>) -> Vec<&'static str> {
    match result {
        Ok(_) => Vec::new(),
        Err(CheckError::Validation(errors)) => errors.into_iter().map(|error| error.rule).collect(),
        Err(CheckError::Parse(error)) => panic!("{error}"),
    }
}

/// Fragments that each spread the next one as `body` says, with `#` for its name.
fn chain(levels: usize, body: &str, last: &str) -> String {
    let mut text = "{ ...F0 }".to_owned();
    for level in 0..levels {
        let body = body.replace('#', &format!("...F{}", level + 1));
        write!(text, " fragment F{level} on Query {{ {body} }}").expect("a string takes all");
    }
    write!(text, " fragment F{levels} on Query {{ {last} }}").expect("a string takes all");
    text
}

#[test]
fn doubling_fragments_take_linear_time() {
    for body in [
        "# #",
        "on { # } on { # }",
        "x: on { # } y: on { # }",
        "... { # } ... on Query { # }",
        "x: on { # } x: on { # a }",
    ] {
        for levels in [30, 60] {
            assert_eq!(rules(check(&chain(levels, body, "a"), &Limits::default())), [] as [&str; 0], "{body}");
        }
    }
}

#[test]
fn a_conflict_below_doubling_fragments_is_found() {
    let text = chain(30, "x: on { # } y: on { # }", "a b: a b");

    assert_eq!(rules(check(&text, &Limits::default())), ["OverlappingFieldsCanBeMerged"]);
}

#[test]
fn sets_of_fields_that_all_differ_are_rejected_by_the_budget() {
    // Each level merges the next one with a field of its own, in every combination.
    let mut text = "{ ...F0 }".to_owned();
    for level in 0..60 {
        let next = level + 1;
        write!(text, " fragment F{level} on Query {{ x: on {{ ...F{next} a{level}: a }} y: on {{ ...F{next} b{level}: a }} x: on {{ y: on {{ c{level}: a }} }} }}")
            .expect("a string takes all");
    }
    text += " fragment F60 on Query { a }";

    let found = rules(check(&text, &Limits { tokens: 10_000, ..Limits::default() }));
    assert!(found.is_empty() || found == ["OverlappingFieldsCanBeMerged"], "{found:?}");
}

#[test]
fn fragments_that_spread_each_other_end() {
    for (text, rule) in [
        ("{ ...A } fragment A on Query { ...A }", "NoFragmentCycles"),
        ("{ ...A } fragment A on Query { on { ...B } } fragment B on Query { x: on { ...A } }", "NoFragmentCycles"),
    ] {
        assert!(rules(check(text, &Limits::default())).contains(&rule), "{text}");
    }
    let all: String = (0..100).map(|number| format!("...F{number} ")).collect();
    let mut text = format!("{{ {all} }}");
    for number in 0..100 {
        write!(text, " fragment F{number} on Query {{ on {{ {all} }} }}").expect("a string takes all");
    }
    assert!(rules(check(&text, &generous())).contains(&"NoFragmentCycles"));
}

#[test]
fn long_chains_of_fragments_do_not_exhaust_the_stack() {
    for body in ["#", "on { # }"] {
        let text = chain(5_000, body, "a");

        let found = rules(check(&text, &generous()));
        assert!(found.is_empty() || found == ["OverlappingFieldsCanBeMerged"], "{found:?}");
    }
}

#[test]
fn deep_nesting_is_rejected_before_parsing() {
    for (open, close) in [("{ on ", "}"), ("{ c(x: [", "])}"), ("{ ... ", "}"), ("{ c(x: {y: ", "})}")] {
        for depth in [65, 100_000] {
            let text = open.repeat(depth) + &close.repeat(depth);
            let error = check(&text, &Limits { bytes: 4 << 20, ..Limits::default() }).expect_err("too deep");
            assert!(matches!(&error, CheckError::Parse(error) if error.kind == ParseErrorKind::Limit), "{error}");
        }
    }
    let lists = format!("query ($v: {}Int{}) {{ c(x: $v) }}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(matches!(check(&lists, &Limits::default()), Err(CheckError::Parse(_))));
}

#[test]
fn sizes_are_limited() {
    let many: String = (0..10_000).map(|number| format!("a{number}: a ")).collect();
    for (text, part) in [(format!("{{ {many} }}"), "bytes"), (format!("{{ {} }}", "a ".repeat(3_000)), "tokens")] {
        let error = check(&text, &Limits::default()).expect_err("too large");
        assert!(matches!(&error, CheckError::Parse(error) if error.kind == ParseErrorKind::Limit), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn many_fields_are_compared_in_linear_time() {
    let many: String = (0..10_000).map(|number| format!("a{number}: a ")).collect();
    let same = "a ".repeat(20_000);
    let parents: String = (0..3_000).map(|number| format!("on {{ a{number}: a }} ")).collect();
    for text in [format!("{{ {many} }}"), format!("{{ {same} }}"), format!("{{ {parents} }}")] {
        assert_eq!(rules(check(&text, &generous())), [] as [&str; 0]);
    }
    let different: String = (0..10_000).map(|number| format!("x: c(x: {number}) ")).collect();
    let found = rules(check(&format!("{{ {different} }}"), &generous()));
    assert_eq!((found.len(), found[0]), (50, "OverlappingFieldsCanBeMerged"));
}

#[test]
fn many_errors_are_cut_off() {
    let text = format!("{{ {} }}", "unknown ".repeat(10_000));

    assert_eq!(rules(check(&text, &generous())).len(), 50);
    let names = format!("{{ {} }}", format!("{} ", "x".repeat(60_000)).repeat(20));
    let error = check(&names, &generous()).expect_err("unknown fields").to_string();
    assert!(error.len() < 20 * 250, "{}", error.len());
}

#[test]
fn many_operations_with_many_variables_take_bounded_time() {
    let uses: String = (0..300).map(|number| format!("a{number}: c(x: $v{number}) ")).collect();
    let mut text = format!("fragment F on Query {{ {uses} }}");
    for number in 0..300 {
        write!(text, " query Q{number}($v0: Any) {{ ...F }}").expect("a string takes all");
    }

    assert_eq!(rules(check(&text, &generous())).len(), 50);
}
