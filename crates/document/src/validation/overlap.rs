//! Fields with the same response key must be the same, or at least have the same shape (section 5.3.2).
//!
//! The specification compares every pair of fields, and again for every pair of parents. Here the fields of one
//! response key are gathered once across fragments, and each is compared with the first of its group: "same name and
//! arguments" and "same shape" are equivalences. Two passes descend separately, as Simon Adameit describes in
//! "Finding Conflicts Faster" (2019): shapes are compared across all parents, names and arguments only among fields that
//! one object can have both. Sets of fields that were checked before are skipped, so fragments that double cost nothing.
use std::collections::{HashMap, HashSet};

use apollo_compiler::{
    Name, Node,
    ast::{Argument, Field, FieldDefinition, Selection, Type, Value},
};

use super::{Context, name};

const RULE: &str = "OverlappingFieldsCanBeMerged";

/// Fields that are looked at in one document, with repetition. A document of 2,000 tokens needs a few thousand.
const BUDGET: usize = 200_000;

/// Fields inside each other, through fragments.
const DEPTH_MAX: usize = 200;

/// Checks all operations, and the fragments that none uses.
pub(super) fn check(context: &mut Context<'_>) {
    let (operations, fragments) = (context.operations.clone(), context.fragments.clone());
    let mut overlap = Overlap::new(context);
    for operation in &operations {
        let ty = overlap.context.schema.root(operation.operation_type);
        overlap.root(ty.map(Name::as_str), &operation.selection_set);
    }
    for fragment in &fragments {
        if !overlap.expanded.contains(fragment.name.as_str()) {
            let ty = fragment.type_condition.as_str();
            overlap.root(overlap.context.schema.get(ty).map(|_| ty), &fragment.selection_set);
        }
    }
    if overlap.budget == 0 {
        let message = "Fields are selected in too many combinations to check whether they can be merged.".to_owned();
        let place = operations.first().and_then(|operation| operation.location());
        context.report(RULE, message, &[place]);
    }
}

/// A field in a selection set of a type.
#[derive(Clone, Copy)]
struct Selected<'a> {
    parent: Option<&'a str>,
    field: &'a Node<Field>,
    definition: Option<&'a FieldDefinition>,
}

impl<'a> Selected<'a> {
    /// Identifies the field in the document.
    fn address(&self) -> usize {
        std::ptr::from_ref::<Field>(self.field) as usize
    }

    fn selections(&self) -> (Option<&'a str>, &'a [Selection]) {
        (self.definition.map(|definition| definition.ty.inner_named_type().as_str()), &self.field.selection_set)
    }
}

struct Overlap<'a, 'c> {
    context: &'c mut Context<'a>,
    /// Sets of fields that were checked, as addresses.
    shapes: HashSet<Vec<usize>>,
    merges: HashSet<Vec<usize>>,
    /// Pairs of fields that were reported.
    reported: HashSet<(usize, usize)>,
    /// Fragments that belong to what was checked.
    expanded: HashSet<&'a str>,
    budget: usize,
}

impl<'a, 'c> Overlap<'a, 'c> {
    fn new(context: &'c mut Context<'a>) -> Self {
        let (shapes, merges, reported, expanded) = Default::default();
        Self { context, shapes, merges, reported, expanded, budget: BUDGET }
    }

    fn root(&mut self, ty: Option<&'a str>, selections: &'a [Selection]) {
        let fields = self.expand([(ty, selections)].into_iter());
        self.same_shape(&fields, 0);
        self.same_field(&fields, 0);
    }

    /// The fields of selection sets, fragments expanded once.
    fn expand(&mut self, sets: impl Iterator<Item = (Option<&'a str>, &'a [Selection])>) -> Vec<Selected<'a>> {
        let mut fields = Vec::new();
        let mut visited = HashSet::new();
        let mut open: Vec<(Option<&'a str>, &'a [Selection])> = sets.collect();
        open.reverse();
        while let Some((parent, selections)) = open.pop() {
            self.budget = self.budget.saturating_sub(selections.len());
            if self.budget == 0 {
                return Vec::new();
            }
            for selection in selections {
                match selection {
                    Selection::Field(field) => {
                        let definition = parent.and_then(|parent| self.context.schema.field(parent, &field.name));
                        fields.push(Selected {
                            parent,
                            field,
                            definition: definition.map(|definition| &***definition),
                        });
                    }
                    Selection::InlineFragment(fragment) => {
                        let condition = fragment.type_condition.as_ref().map(Name::as_str);
                        let ty =
                            condition.map_or(parent, |condition| self.context.schema.get(condition).map(|_| condition));
                        open.push((ty, &fragment.selection_set));
                    }
                    Selection::FragmentSpread(spread) => {
                        let fragment = self.context.fragment_by_name.get(spread.fragment_name.as_str());
                        if let Some(fragment) = fragment.filter(|fragment| visited.insert(fragment.name.as_str())) {
                            self.expanded.insert(fragment.name.as_str());
                            let condition = fragment.type_condition.as_str();
                            open.push((self.context.schema.get(condition).map(|_| condition), &fragment.selection_set));
                        }
                    }
                }
            }
        }
        fields
    }

    /// Whether fields remain to be checked: some, not checked before, within budget and depth.
    fn is_new(&mut self, fields: &[Selected<'a>], depth: usize, is_shape: bool) -> bool {
        self.budget = self.budget.saturating_sub(fields.len());
        if self.budget == 0 || depth > DEPTH_MAX || fields.is_empty() || self.context.is_full() {
            // What is too deep to be checked is rejected.
            self.budget = if depth > DEPTH_MAX { 0 } else { self.budget };
            return false;
        }
        let mut key: Vec<usize> = fields.iter().map(Selected::address).collect();
        key.sort_unstable();
        if is_shape { self.shapes.insert(key) } else { self.merges.insert(key) }
    }

    /// Checks that fields with the same key have values of the same shape, whatever object they belong to.
    fn same_shape(&mut self, fields: &[Selected<'a>], depth: usize) {
        if !self.is_new(fields, depth, true) {
            return;
        }
        for group in by_key(fields) {
            let mut typed = group.iter().filter_map(|field| Some((field, &field.definition?.ty)));
            if let Some((first, ty)) = typed.next() {
                for (other, other_ty) in typed {
                    if self.types_conflict(ty, other_ty) {
                        self.report(first, other, format!("they return conflicting types \"{ty}\" and \"{other_ty}\""));
                    }
                }
            }
            let below = self.expand(group.iter().map(Selected::selections));
            self.same_shape(&below, depth + 1);
        }
    }

    /// Checks that fields with the same key that one object can have both are the same field with the same arguments.
    fn same_field(&mut self, fields: &[Selected<'a>], depth: usize) {
        if !self.is_new(fields, depth, false) {
            return;
        }
        for group in by_key(fields) {
            for common in self.by_common_parent(&group) {
                let Some((first, others)) = common.split_first() else { continue };
                for other in others {
                    self.compare(first, other);
                }
                let below = self.expand(common.iter().map(Selected::selections));
                self.same_field(&below, depth + 1);
            }
        }
    }

    /// Fields of each object type, together with those of interfaces, unions and unknown types.
    fn by_common_parent(&mut self, group: &[Selected<'a>]) -> Vec<Vec<Selected<'a>>> {
        let object = |field: &Selected<'a>| field.parent.filter(|parent| self.context.schema.is_object(parent));
        let shared: Vec<Selected<'a>> = group.iter().filter(|field| object(field).is_none()).copied().collect();
        let mut parents: Vec<(&str, Vec<Selected<'a>>)> = Vec::new();
        for field in group {
            let Some(parent) = object(field) else { continue };
            match parents.iter_mut().find(|(known, _)| *known == parent) {
                Some((_, fields)) => fields.push(*field),
                None => parents.push((parent, shared.iter().copied().chain([*field]).collect())),
            }
        }
        if parents.is_empty() { vec![shared] } else { parents.into_iter().map(|(_, fields)| fields).collect() }
    }

    fn compare(&mut self, first: &Selected<'a>, other: &Selected<'a>) {
        let (one, two) = (&first.field.name, &other.field.name);
        if one != two {
            self.report(first, other, format!("\"{}\" and \"{}\" are different fields", name(one), name(two)));
        } else if !same_arguments(&first.field.arguments, &other.field.arguments) {
            self.report(first, other, "they have differing arguments".to_owned());
        }
    }

    fn types_conflict(&self, one: &Type, two: &Type) -> bool {
        match (one, two) {
            (Type::List(one), Type::List(two)) | (Type::NonNullList(one), Type::NonNullList(two)) => {
                self.types_conflict(one, two)
            }
            (Type::Named(one), Type::Named(two)) | (Type::NonNullNamed(one), Type::NonNullNamed(two)) => {
                let is_leaf = |name: &Name| !self.context.schema.is_composite(name);
                (is_leaf(one) || is_leaf(two)) && one != two
            }
            _ => true,
        }
    }

    fn report(&mut self, first: &Selected<'a>, other: &Selected<'a>, reason: String) {
        if self.reported.insert((first.address(), other.address())) {
            let key = name(first.field.response_name());
            let message = format!(
                "Fields \"{key}\" conflict because {reason}. Use different aliases on the fields to fetch both if this was intentional."
            );
            self.context.report(RULE, message, &[first.field.location(), other.field.location()]);
        }
    }
}

/// Fields by response key, in the order of the first of each.
fn by_key<'a>(fields: &[Selected<'a>]) -> Vec<Vec<Selected<'a>>> {
    let mut indices = HashMap::new();
    let mut groups: Vec<Vec<Selected<'a>>> = Vec::new();
    for field in fields {
        let index = *indices.entry(field.field.response_name().as_str()).or_insert(groups.len());
        if index == groups.len() {
            groups.push(Vec::new());
        }
        groups[index].push(*field);
    }
    groups
}

/// Whether two fields have the same arguments, in any order.
fn same_arguments(one: &[Node<Argument>], two: &[Node<Argument>]) -> bool {
    let other = |argument: &Argument| two.iter().rev().find(|other| other.name == argument.name);
    one.len() == two.len()
        && one.iter().all(|argument| other(argument).is_some_and(|other| same_value(&argument.value, &other.value)))
}

/// Whether two literals are the same; the order of an input object's fields does not matter.
fn same_value(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::List(one), Value::List(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| same_value(one, two))
        }
        (Value::Object(one), Value::Object(two)) => {
            let other = |name: &Name| two.iter().find(|(other, _)| other == name);
            one.len() == two.len()
                && one.iter().all(|(name, value)| other(name).is_some_and(|(_, other)| same_value(value, other)))
        }
        (one, two) => one == two,
    }
}
