//! A plan as a table.
use std::fmt::Write as _;

use super::{fields, summary};
use crate::graphql::{Bound, Plan};

/// The header of the statements, as wide as any name at least.
const STATEMENT: &str = "statement";

pub(super) fn render(plan: &Plan) -> String {
    let mut table = summary(plan) + "\n";
    if plan.rounds.is_empty() && plan.writes.is_empty() {
        return table;
    }
    let names = plan.rounds.iter().flatten().map(|load| load.name.len());
    let width = names.chain([STATEMENT.len()]).max().unwrap_or_default();
    let _ = writeln!(table, "\nround  {STATEMENT:width$}  keys at most  fields");
    for write in &plan.writes {
        let _ = writeln!(table, "    -  {:width$}  {:>12}  {write}", "the write itself", "-", width = width);
    }
    for (index, round) in plan.rounds.iter().enumerate() {
        for load in round {
            let (round, name, keys, fields) = (index + 1, load.name, keys(load.keys), fields(&load.fields));
            let _ = writeln!(table, "{round:>5}  {name:width$}  {keys:>12}  {fields}");
        }
    }
    table
}

/// The maximum number of keys.
fn keys(keys: Bound) -> String {
    keys.map_or_else(|| "by data".to_owned(), |keys| keys.to_string())
}
