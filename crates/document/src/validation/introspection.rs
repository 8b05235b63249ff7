//! Introspection must not nest lists of types, since the response would grow exponentially.
use std::collections::HashMap;

use apollo_compiler::ast::{Field, Selection};

use super::Context;

/// Lists such as `fields { type { fields` from which on a selection is rejected.
const LISTS_MAX: usize = 3;

/// Checks all selections of `__schema` and `__type`.
pub(super) fn check(context: &mut Context<'_>) {
    let sets = context.operations.iter().map(|operation| operation.selection_set.as_slice());
    let mut open: Vec<&[Selection]> =
        sets.chain(context.fragments.iter().map(|fragment| fragment.selection_set.as_slice())).collect();
    while let Some(selections) = open.pop() {
        for selection in selections {
            match selection {
                Selection::Field(field) if matches!(field.name.as_str(), "__schema" | "__type") => {
                    let mut depths = Depths { context, deepest: HashMap::new() };
                    if depths.exceed(&field.selection_set, 0) {
                        let message = "Maximum introspection depth exceeded".to_owned();
                        context.report("MaxIntrospectionDepth", message, &[field.location()]);
                    }
                }
                Selection::Field(field) => open.push(&field.selection_set),
                Selection::InlineFragment(fragment) => open.push(&fragment.selection_set),
                Selection::FragmentSpread(_) => {}
            }
        }
    }
}

struct Depths<'a, 'c> {
    context: &'c Context<'a>,
    /// The greatest depth at which each fragment was looked at. Each is looked at [`LISTS_MAX`] times at most.
    deepest: HashMap<&'a str, usize>,
}

impl<'a> Depths<'a, '_> {
    fn exceed(&mut self, selections: &'a [Selection], depth: usize) -> bool {
        selections.iter().any(|selection| match selection {
            Selection::Field(field) => {
                let depth = depth + usize::from(is_list(field));
                depth >= LISTS_MAX || self.exceed(&field.selection_set, depth)
            }
            Selection::InlineFragment(fragment) => self.exceed(&fragment.selection_set, depth),
            Selection::FragmentSpread(spread) => {
                let Some(fragment) = self.context.fragment_by_name.get(spread.fragment_name.as_str()) else {
                    return false;
                };
                let deepest = self.deepest.entry(fragment.name.as_str()).or_default();
                // Depths are kept one higher, so that zero stands for a fragment that was not looked at.
                if *deepest > depth {
                    return false;
                }
                *deepest = depth + 1;
                self.exceed(&fragment.selection_set, depth)
            }
        })
    }
}

fn is_list(field: &Field) -> bool {
    matches!(field.name.as_str(), "fields" | "interfaces" | "possibleTypes" | "inputFields")
}
