//! Rules about whole operations: their names, fragments, variables, and the root of subscriptions.
use std::collections::{HashMap, HashSet};

use apollo_compiler::{
    Name, Node,
    ast::{
        Directive, FragmentDefinition, OperationDefinition, OperationType, Selection, Type, Value, VariableDefinition,
    },
    parser::SourceSpan,
};

use super::{
    Context, name, type_name,
    walk::{Position, Usage, Used, Uses},
};

/// Checks all operations and fragments of the document.
pub(super) fn check<'a>(context: &mut Context<'a>, uses: &Uses<'a>) {
    unique_names(context);
    cycles(context, uses);
    let fragments: HashMap<&str, &Used<'a>> =
        context.fragments.iter().map(|fragment| fragment.name.as_str()).zip(&uses.fragments).collect();
    let mut reached = HashSet::new();
    for (operation, used) in context.operations.clone().into_iter().zip(&uses.operations) {
        let below = reachable(used, &fragments);
        variables(context, operation, used, below.values().copied());
        reached.extend(below.into_keys());
        if operation.operation_type == OperationType::Subscription {
            single_field(context, operation);
        }
    }
    for fragment in context.fragments.clone() {
        if !reached.contains(fragment.name.as_str()) {
            let message = format!("Fragment \"{}\" is never used.", name(&fragment.name));
            context.report("NoUnusedFragments", message, &[fragment.location()]);
        }
    }
}

fn unique_names(context: &mut Context<'_>) {
    let mut seen = HashSet::new();
    let count = context.operations.len();
    for operation in context.operations.clone() {
        match &operation.name {
            None if count > 1 => {
                let message = "This anonymous operation must be the only defined operation.".to_owned();
                context.report("LoneAnonymousOperation", message, &[operation.location()]);
            }
            Some(found) if !seen.insert(found.as_str()) => {
                let message = format!("There can be only one operation named \"{}\".", name(found));
                context.report("UniqueOperationNames", message, &[found.location()]);
            }
            _ => {}
        }
    }
    let mut seen = HashSet::new();
    for fragment in context.fragments.clone() {
        if !seen.insert(fragment.name.as_str()) {
            let message = format!("There can be only one fragment named \"{}\".", name(&fragment.name));
            context.report("UniqueFragmentNames", message, &[fragment.name.location()]);
        }
    }
}

/// The fragments that a definition spreads, directly or through others.
fn reachable<'a, 'u>(used: &'u Used<'a>, fragments: &HashMap<&'a str, &'u Used<'a>>) -> HashMap<&'a str, &'u Used<'a>> {
    let mut found = HashMap::new();
    let mut open = vec![used];
    while let Some(used) = open.pop() {
        for spread in &used.spreads {
            let key = spread.fragment_name.as_str();
            if let Some((key, fragment)) = fragments.get_key_value(key)
                && found.insert(*key, *fragment).is_none()
            {
                open.push(fragment);
            }
        }
    }
    found
}

/// Reports each fragment that spreads itself, once. Each fragment is visited once, without recursion.
fn cycles<'a>(context: &mut Context<'a>, uses: &Uses<'a>) {
    let indices: HashMap<&str, usize> =
        context.fragments.iter().enumerate().map(|(index, fragment)| (fragment.name.as_str(), index)).collect();
    let mut visited = vec![false; uses.fragments.len()];
    for root in 0..uses.fragments.len() {
        if std::mem::replace(&mut visited[root], true) {
            continue;
        }
        // Fragments between the root and here, each with the next of its spreads to look at.
        let mut path = vec![(root, 0)];
        let mut place_in_path = HashMap::from([(root, 0)]);
        while let Some((fragment, next)) = path.last_mut() {
            let Some(spread) = uses.fragments[*fragment].spreads.get(*next) else {
                place_in_path.remove(fragment);
                path.pop();
                continue;
            };
            *next += 1;
            let Some(target) = indices.get(spread.fragment_name.as_str()).copied() else { continue };
            if let Some(start) = place_in_path.get(&target) {
                let via: Vec<usize> = path[start + 1..].iter().map(|(open, _)| *open).collect();
                report_cycle(context, &spread.fragment_name, &via, spread.location());
            } else if !std::mem::replace(&mut visited[target], true) {
                place_in_path.insert(target, path.len());
                path.push((target, 0));
            }
        }
    }
}

fn report_cycle(context: &mut Context<'_>, spread: &Name, via: &[usize], span: Option<SourceSpan>) {
    /// Fragments that the message names.
    const VIA_MAX: usize = 5;
    let named = |fragment: &Node<FragmentDefinition>| format!("\"{}\"", name(&fragment.name));
    let mut names: Vec<String> = via.iter().take(VIA_MAX).map(|index| named(context.fragments[*index])).collect();
    if via.len() > VIA_MAX {
        names.push(format!("{} more", via.len() - VIA_MAX));
    }
    let via = if names.is_empty() { String::new() } else { format!(" via {}", names.join(", ")) };
    context.report(
        "NoFragmentCycles",
        format!("Cannot spread fragment \"{}\" within itself{via}.", name(spread)),
        &[span],
    );
}

/// Checks the variables that an operation uses, in its own selections and in those of its fragments.
fn variables<'a: 'u, 'u>(
    context: &mut Context<'a>,
    operation: &'a Node<OperationDefinition>,
    used: &'u Used<'a>,
    fragments: impl Iterator<Item = &'u Used<'a>>,
) {
    let of_operation = operation.name.as_ref().map(|found| format!(" operation \"{}\"", name(found)));
    let definitions: HashMap<&str, &Node<VariableDefinition>> =
        operation.variables.iter().map(|definition| (definition.name.as_str(), definition)).collect();
    let mut seen = HashSet::new();
    for usage in [used].into_iter().chain(fragments).flat_map(|used| &used.variables) {
        if context.is_full() {
            return;
        }
        seen.insert(usage.name.as_str());
        match definitions.get(usage.name.as_str()) {
            Some(definition) => check_usage(context, definition, usage),
            None => {
                let by = of_operation.as_ref().map_or_else(String::new, |operation| format!(" by{operation}"));
                let message = format!("Variable \"${}\" is not defined{by}.", name(usage.name));
                context.report("NoUndefinedVariables", message, &[usage.span, operation.location()]);
            }
        }
    }
    for definition in &operation.variables {
        if !seen.contains(definition.name.as_str()) {
            let within = of_operation.as_ref().map_or_else(String::new, |operation| format!(" in{operation}"));
            let message = format!("Variable \"${}\" is never used{within}.", name(&definition.name));
            context.report("NoUnusedVariables", message, &[definition.location()]);
        }
    }
}

/// Checks that a variable may be used at a position (section 5.8.5).
fn check_usage(context: &mut Context<'_>, definition: &VariableDefinition, usage: &Usage<'_>) {
    let Some(position) = usage.position else { return };
    if context.schema.get(definition.ty.inner_named_type()).is_none() {
        return;
    }
    let (variable, ty) = (name(usage.name), type_name(&definition.ty));
    if !is_allowed(definition, position) {
        let message =
            format!("Variable \"${variable}\" of type \"{ty}\" used in position expecting type \"{}\".", position.ty);
        context.report("VariablesInAllowedPosition", message, &[definition.ty.location(), usage.span]);
    }
    if let Some(one_of) = position.one_of
        && !definition.ty.is_non_null()
    {
        let message = format!(
            "Variable \"${variable}\" is of type \"{ty}\" but must be non-nullable to be used for OneOf Input Object \"{one_of}\"."
        );
        context.report("VariablesInAllowedPosition", message, &[definition.ty.location(), usage.span]);
    }
}

fn is_allowed(definition: &VariableDefinition, position: Position<'_>) -> bool {
    if position.ty.is_non_null() && !definition.ty.is_non_null() {
        let has_value = definition.default_value.as_ref().is_some_and(|value| !value.is_null());
        return (has_value || position.has_default) && is_subtype_of_nullable(&definition.ty, position.ty);
    }
    is_subtype(&definition.ty, position.ty)
}

/// Whether every value of one input type is one of another: `AreTypesCompatible`.
fn is_subtype(ty: &Type, of: &Type) -> bool {
    match (ty, of) {
        (Type::NonNullNamed(_), Type::Named(_)) | (Type::NonNullList(_), Type::List(_)) => {
            is_subtype_of_nullable(ty, of)
        }
        (Type::Named(_), Type::Named(_)) | (Type::List(_), Type::List(_)) => is_subtype_of_nullable(ty, of),
        (Type::NonNullNamed(_), Type::NonNullNamed(_)) | (Type::NonNullList(_), Type::NonNullList(_)) => {
            is_subtype_of_nullable(ty, of)
        }
        _ => false,
    }
}

/// [`is_subtype`] without the outermost non-null of both.
fn is_subtype_of_nullable(ty: &Type, of: &Type) -> bool {
    match (ty, of) {
        (Type::Named(ty) | Type::NonNullNamed(ty), Type::Named(of) | Type::NonNullNamed(of)) => ty == of,
        (Type::List(ty) | Type::NonNullList(ty), Type::List(of) | Type::NonNullList(of)) => is_subtype(ty, of),
        _ => false,
    }
}

/// The root of a subscription, its fragments expanded.
#[derive(Default)]
struct Root<'a> {
    /// The fields by response key, in their order: name and position of the first.
    fields: Vec<(&'a str, &'a Name, Option<SourceSpan>)>,
    conditions: Vec<Option<SourceSpan>>,
    visited: HashSet<&'a str>,
}

/// Checks that a subscription has one root field, which is no introspection and has no condition (section 5.2.4).
fn single_field<'a>(context: &mut Context<'a>, operation: &'a Node<OperationDefinition>) {
    const RULE: &str = "SingleFieldSubscriptions";
    let Some(ty) = context.schema.root(OperationType::Subscription) else { return };
    let mut root = Root::default();
    root.collect(context, &operation.selection_set, ty);
    let what = operation
        .name
        .as_ref()
        .map_or_else(|| "Anonymous Subscription".to_owned(), |found| format!("Subscription \"{}\"", name(found)));
    if !root.conditions.is_empty() {
        let message = format!("{what} must not use `@skip` or `@include` directives in the top level selection.");
        return context.report(RULE, message, &root.conditions);
    }
    match root.fields.as_slice() {
        [] => context.report(RULE, format!("{what} must select one top level field."), &[operation.location()]),
        [_] => {}
        [_, extra @ ..] => {
            let spans: Vec<_> = extra.iter().map(|(_, _, span)| *span).collect();
            context.report(RULE, format!("{what} must select only one top level field."), &spans);
        }
    }
    for (_, field, span) in &root.fields {
        if field.starts_with("__") {
            context.report(RULE, format!("{what} must not select an introspection top level field."), &[*span]);
        }
    }
}

fn directives(selection: &Selection) -> &[Node<Directive>] {
    match selection {
        Selection::Field(field) => &field.directives,
        Selection::InlineFragment(fragment) => &fragment.directives,
        Selection::FragmentSpread(spread) => &spread.directives,
    }
}

impl<'a> Root<'a> {
    fn collect(&mut self, context: &Context<'a>, selections: &'a [Selection], ty: &Name) {
        let applies = |condition: &Name| {
            condition == ty
                || (!context.schema.is_object(condition)
                    && context.schema.possible_types(condition).is_some_and(|types| types.contains(ty)))
        };
        for selection in selections {
            if !self.is_included(directives(selection)) {
                continue;
            }
            match selection {
                Selection::Field(field) => {
                    let key = field.response_name().as_str();
                    if !self.fields.iter().any(|(known, ..)| *known == key) {
                        self.fields.push((key, &field.name, field.location()));
                    }
                }
                Selection::InlineFragment(fragment) => {
                    if fragment.type_condition.as_ref().is_none_or(applies) {
                        self.collect(context, &fragment.selection_set, ty);
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = context.fragment_by_name.get(spread.fragment_name.as_str());
                    if let Some(fragment) = fragment.filter(|fragment| applies(&fragment.type_condition))
                        && self.visited.insert(fragment.name.as_str())
                    {
                        self.collect(context, &fragment.selection_set, ty);
                    }
                }
            }
        }
    }

    /// Records conditions; a selection that a constant one leaves out is not looked at.
    fn is_included(&mut self, directives: &'a [Node<Directive>]) -> bool {
        let mut is_included = true;
        for directive in directives.iter().filter(|directive| matches!(directive.name.as_str(), "skip" | "include")) {
            self.conditions.push(directive.location());
            let condition = directive.specified_argument_by_name("if").map(|value| &**value);
            is_included &= !matches!(
                (directive.name.as_str(), condition),
                ("skip", Some(Value::Boolean(true))) | ("include", Some(Value::Boolean(false)))
            );
        }
        is_included
    }
}
