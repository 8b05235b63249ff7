//! Rules about one node and its type, checked in one walk over all definitions.
use std::collections::HashSet;

use apollo_compiler::{
    Name, Node,
    ast::{
        Argument, Definition, Directive, DirectiveLocation, Field, FragmentDefinition, FragmentSpread, InlineFragment,
        InputValueDefinition, OperationDefinition, Selection, Type, Value, VariableDefinition,
    },
    parser::SourceSpan,
    schema::ExtendedType,
};

use super::{Context, name, suggestion, type_name, values};

/// The variables and fragments that the definitions use.
pub(super) struct Uses<'a> {
    pub(super) operations: Vec<Used<'a>>,
    pub(super) fragments: Vec<Used<'a>>,
}

/// The fragments and variables that one definition uses directly.
#[derive(Default)]
pub(super) struct Used<'a> {
    pub(super) variables: Vec<Usage<'a>>,
    pub(super) spreads: Vec<&'a Node<FragmentSpread>>,
}

/// A variable at a position of the document.
pub(super) struct Usage<'a> {
    pub(super) name: &'a Name,
    pub(super) span: Option<SourceSpan>,
    pub(super) position: Option<Position<'a>>,
}

/// The type that a position of a value expects.
#[derive(Clone, Copy)]
pub(super) struct Position<'a> {
    pub(super) ty: &'a Type,
    pub(super) has_default: bool,
    /// The one-of input object whose field it is.
    pub(super) one_of: Option<&'a Name>,
}

/// Visits every definition once.
pub(super) fn walk<'a>(context: &mut Context<'a>) -> Uses<'a> {
    let document = context.document;
    for definition in &document.ast().definitions {
        if !definition.is_executable_definition() {
            let described =
                definition.name().map_or_else(|| "schema".to_owned(), |found| format!("\"{}\"", name(found)));
            let message = format!("The {described} definition is not executable.");
            context.report("ExecutableDefinitions", message, &[Definition::location(definition)]);
        }
    }
    let operations = context.operations.clone();
    let operations = operations.into_iter().map(|operation| Walk::new(context).operation(operation)).collect();
    let fragments = context.fragments.clone();
    let fragments = fragments.into_iter().map(|fragment| Walk::new(context).fragment(fragment)).collect();
    Uses { operations, fragments }
}

/// The walk over one definition.
struct Walk<'a, 'c> {
    context: &'c mut Context<'a>,
    used: Used<'a>,
}

impl<'a, 'c> Walk<'a, 'c> {
    fn new(context: &'c mut Context<'a>) -> Self {
        Self { context, used: Used::default() }
    }

    fn operation(mut self, operation: &'a Node<OperationDefinition>) -> Used<'a> {
        let kind = operation.operation_type;
        let root = self.context.schema.root(kind);
        if root.is_none() {
            let message = format!("The {kind} operation is not supported by the schema.");
            self.context.report("KnownOperationTypes", message, &[operation.location()]);
        }
        self.variable_definitions(&operation.variables);
        self.directives(&operation.directives, kind.into());
        self.selections(&operation.selection_set, root);
        self.used
    }

    fn fragment(mut self, fragment: &'a Node<FragmentDefinition>) -> Used<'a> {
        let condition = &fragment.type_condition;
        let what = || format!("Fragment \"{}\"", name(&fragment.name));
        let parent = self.type_condition(condition, what);
        self.directives(&fragment.directives, DirectiveLocation::FragmentDefinition);
        self.selections(&fragment.selection_set, parent);
        self.used
    }

    fn variable_definitions(&mut self, definitions: &'a [Node<VariableDefinition>]) {
        let mut seen = HashSet::new();
        for definition in definitions {
            let inner = definition.ty.inner_named_type();
            if !seen.insert(definition.name.as_str()) {
                let message = format!("There can be only one variable named \"${}\".", name(&definition.name));
                self.context.report("UniqueVariableNames", message, &[definition.location()]);
            }
            match self.context.schema.get(inner) {
                None => self.unknown_type(inner),
                Some(ty) if !ty.is_input_type() => {
                    let message = format!(
                        "Variable \"${}\" cannot be non-input type \"{}\".",
                        name(&definition.name),
                        type_name(&definition.ty)
                    );
                    self.context.report("VariablesAreInputTypes", message, &[definition.ty.location()]);
                }
                Some(_) => {
                    if let Some(value) = &definition.default_value {
                        values::check(self.context, value, &definition.ty);
                    }
                }
            }
            if let Some(value) = &definition.default_value {
                self.value(value, None);
            }
            // Their arguments are constant, and no uses of variables.
            self.directives(&definition.directives, DirectiveLocation::VariableDefinition);
        }
    }

    fn unknown_type(&mut self, unknown: &Name) {
        let types = self.context.schema.definition().types.keys().map(Name::as_str);
        let hint = self.context.did_you_mean(unknown, types);
        self.context.report(
            "KnownTypeNames",
            format!("Unknown type \"{}\".{hint}", name(unknown)),
            &[unknown.location()],
        );
    }

    /// The composite type of a condition, if it is one.
    fn type_condition(&mut self, condition: &'a Name, what: impl Fn() -> String) -> Option<&'a Name> {
        if self.context.schema.is_composite(condition) {
            return Some(condition);
        }
        if self.context.schema.get(condition).is_none() {
            self.unknown_type(condition);
        } else {
            let message = format!("{} cannot condition on non composite type \"{}\".", what(), name(condition));
            self.context.report("FragmentsOnCompositeTypes", message, &[condition.location()]);
        }
        None
    }

    fn selections(&mut self, selections: &'a [Selection], parent: Option<&'a Name>) {
        for selection in selections {
            match selection {
                Selection::Field(field) => self.field(field, parent),
                Selection::InlineFragment(fragment) => self.inline_fragment(fragment, parent),
                Selection::FragmentSpread(spread) => self.spread(spread, parent),
            }
        }
    }

    fn field(&mut self, field: &'a Node<Field>, parent: Option<&'a Name>) {
        let definition = parent.and_then(|parent| self.context.schema.field(parent, &field.name));
        if let (Some(parent), None) = (parent, definition) {
            self.unknown_field(field, parent);
        }
        let owner = Owner::Field(parent, &field.name, field.location());
        self.arguments(&field.arguments, definition.map(|definition| definition.arguments.as_slice()), owner);
        self.directives(&field.directives, DirectiveLocation::Field);
        let inner = definition.map(|definition| definition.ty.inner_named_type());
        let composite = inner.filter(|inner| self.context.schema.is_composite(inner));
        if let Some(definition) = definition {
            self.leaf(field, &definition.ty, composite.is_some());
        }
        self.selections(&field.selection_set, composite);
    }

    fn unknown_field(&mut self, field: &Node<Field>, parent: &Name) {
        let schema = self.context.schema;
        let fields = match schema.get(parent) {
            Some(ExtendedType::Object(ty)) => Some(&ty.fields),
            Some(ExtendedType::Interface(ty)) => Some(&ty.fields),
            _ => None,
        };
        let mut hint = self.types_with(field, parent);
        if hint.is_empty() {
            hint = self
                .context
                .did_you_mean(&field.name, fields.into_iter().flat_map(|fields| fields.keys().map(Name::as_str)));
        }
        let message = format!("Cannot query field \"{}\" on type \"{parent}\".{hint}", name(&field.name));
        self.context.report("FieldsOnCorrectType", message, &[field.location()]);
    }

    /// Suggests the object types of an abstract type that have the field.
    fn types_with(&self, field: &Field, parent: &Name) -> String {
        let schema = self.context.schema;
        if !self.context.options.suggestions || self.context.is_full() || schema.is_object(parent) {
            return String::new();
        }
        let possible = schema.possible_types(parent).into_iter().flatten();
        let mut types: Vec<&str> =
            possible.map(Name::as_str).filter(|ty| schema.field(ty, &field.name).is_some()).collect();
        types.sort_unstable();
        suggestion::did_you_mean(&types).replacen("mean", "mean to use an inline fragment on", 1)
    }

    fn leaf(&mut self, field: &Node<Field>, ty: &Type, is_composite: bool) {
        let key = name(&field.name);
        let message = match (is_composite, field.selection_set.is_empty()) {
            (true, true) => {
                format!(
                    "Field \"{key}\" of type \"{ty}\" must have a selection of subfields. Did you mean \"{key} {{ ... }}\"?"
                )
            }
            (false, false) => {
                format!("Field \"{key}\" must not have a selection since type \"{ty}\" has no subfields.")
            }
            _ => return,
        };
        self.context.report("ScalarLeafs", message, &[field.location()]);
    }

    fn inline_fragment(&mut self, fragment: &'a Node<InlineFragment>, parent: Option<&'a Name>) {
        let mut inner = parent;
        if let Some(condition) = &fragment.type_condition {
            inner = self.type_condition(condition, || "Fragment".to_owned());
            if let (Some(condition), Some(parent)) = (inner, parent) {
                self.possible(None, condition, parent, fragment.location());
            }
        }
        self.directives(&fragment.directives, DirectiveLocation::InlineFragment);
        self.selections(&fragment.selection_set, inner);
    }

    fn spread(&mut self, spread: &'a Node<FragmentSpread>, parent: Option<&'a Name>) {
        let found = self.context.fragment_by_name.get(spread.fragment_name.as_str()).copied();
        match found {
            None => {
                let message = format!("Unknown fragment \"{}\".", name(&spread.fragment_name));
                self.context.report("KnownFragmentNames", message, &[spread.fragment_name.location()]);
            }
            Some(fragment) => {
                let condition = &fragment.type_condition;
                if let Some(parent) = parent.filter(|_| self.context.schema.is_composite(condition)) {
                    self.possible(Some(&spread.fragment_name), condition, parent, spread.location());
                }
            }
        }
        self.directives(&spread.directives, DirectiveLocation::FragmentSpread);
        self.used.spreads.push(spread);
    }

    /// Checks that a fragment can apply: some object has both types.
    fn possible(&mut self, fragment: Option<&Name>, condition: &Name, parent: &Name, span: Option<SourceSpan>) {
        let schema = self.context.schema;
        let types = (schema.possible_types(condition), schema.possible_types(parent));
        if condition == parent || matches!(types, (Some(left), Some(right)) if !left.is_disjoint(right)) {
            return;
        }
        let fragment =
            fragment.map_or_else(|| "Fragment".to_owned(), |fragment| format!("Fragment \"{}\"", name(fragment)));
        let message = format!(
            "{fragment} cannot be spread here as objects of type \"{parent}\" can never be of type \"{}\".",
            name(condition)
        );
        self.context.report("PossibleFragmentSpreads", message, &[span]);
    }

    fn directives(&mut self, directives: &'a [Node<Directive>], location: DirectiveLocation) {
        let mut seen = HashSet::new();
        for directive in directives {
            let definition = self.context.schema.definition().directive_definitions.get(&directive.name);
            match definition {
                None => {
                    let message = format!("Unknown directive \"@{}\".", name(&directive.name));
                    self.context.report("KnownDirectives", message, &[directive.location()]);
                }
                Some(definition) if !definition.locations.contains(&location) => {
                    let message = format!("Directive \"@{}\" may not be used on {location}.", directive.name);
                    self.context.report("KnownDirectives", message, &[directive.location()]);
                }
                Some(_) => {}
            }
            let is_repeatable = definition.is_none_or(|definition| definition.repeatable);
            if !seen.insert(&directive.name) && !is_repeatable {
                let message = format!("The directive \"@{}\" can only be used once at this location.", directive.name);
                self.context.report("UniqueDirectivesPerLocation", message, &[directive.location()]);
            }
            let arguments = definition.map(|definition| definition.arguments.as_slice());
            self.arguments(&directive.arguments, arguments, Owner::Directive(&directive.name, directive.location()));
        }
    }

    /// Checks arguments against their definitions; without definitions only their names and variables.
    fn arguments(
        &mut self,
        arguments: &'a [Node<Argument>],
        definitions: Option<&'a [Node<InputValueDefinition>]>,
        owner: Owner<'a>,
    ) {
        let mut seen = HashSet::new();
        for argument in arguments {
            if !seen.insert(argument.name.as_str()) {
                let message = format!("There can be only one argument named \"{}\".", name(&argument.name));
                self.context.report("UniqueArgumentNames", message, &[argument.location()]);
            }
            let find = |definitions: &'a [Node<InputValueDefinition>]| {
                definitions.iter().find(|known| known.name == argument.name)
            };
            let definition = definitions.and_then(find);
            match (definition, definitions) {
                (Some(definition), _) => values::check(self.context, &argument.value, &definition.ty),
                (None, Some(known)) => {
                    let hint = self.context.did_you_mean(&argument.name, known.iter().map(|known| known.name.as_str()));
                    let message = format!("Unknown argument \"{}\" on {owner}.{hint}", name(&argument.name));
                    self.context.report("KnownArgumentNames", message, &[argument.location()]);
                }
                (None, None) => {}
            }
            self.value(&argument.value, definition.map(|definition| Position::of(definition)));
        }
        for definition in definitions.into_iter().flatten() {
            if !seen.contains(definition.name.as_str()) && definition.is_required() {
                let message = owner.missing(definition);
                self.context.report("ProvidedRequiredArguments", message, &[owner.span()]);
            }
        }
    }

    /// Records the variables of a value, and checks that its input objects have each field once.
    fn value(&mut self, value: &'a Node<Value>, position: Option<Position<'a>>) {
        match &**value {
            Value::Variable(variable) => {
                self.used.variables.push(Usage { name: variable, span: value.location(), position });
            }
            Value::List(items) => {
                let item = match position.map(|position| position.ty) {
                    Some(Type::List(item) | Type::NonNullList(item)) => {
                        Some(Position { ty: item, has_default: false, one_of: None })
                    }
                    _ => None,
                };
                items.iter().for_each(|inner| self.value(inner, item));
            }
            Value::Object(fields) => self.object(fields, position),
            _ => {}
        }
    }

    fn object(&mut self, fields: &'a [(Name, Node<Value>)], position: Option<Position<'a>>) {
        let schema = self.context.schema;
        let ty = position.and_then(|position| schema.get(position.ty.inner_named_type()));
        let ty = ty.and_then(ExtendedType::as_input_object);
        let one_of = ty.map(|ty| &ty.name).filter(|name| schema.is_one_of(name));
        let mut seen = HashSet::new();
        for (field, value) in fields {
            if !seen.insert(field.as_str()) {
                let message = format!("There can be only one input field named \"{}\".", name(field));
                self.context.report("UniqueInputFieldNames", message, &[field.location()]);
            }
            let definition = ty.and_then(|ty| ty.fields.get(field));
            self.value(value, definition.map(|definition| Position { one_of, ..Position::of(definition) }));
        }
    }
}

impl<'a> Position<'a> {
    fn of(definition: &'a InputValueDefinition) -> Self {
        Self { ty: &definition.ty, has_default: definition.default_value.is_some(), one_of: None }
    }
}

/// The owner of arguments.
#[derive(Clone, Copy)]
enum Owner<'a> {
    Field(Option<&'a Name>, &'a Name, Option<SourceSpan>),
    Directive(&'a Name, Option<SourceSpan>),
}

impl Owner<'_> {
    fn span(self) -> Option<SourceSpan> {
        match self {
            Self::Field(_, _, span) | Self::Directive(_, span) => span,
        }
    }

    fn missing(self, definition: &InputValueDefinition) -> String {
        let (argument, ty) = (&definition.name, &definition.ty);
        let argument = match self {
            Self::Field(Some(parent), field, _) => format!("Argument \"{parent}.{}({argument}:)\"", name(field)),
            Self::Field(None, field, _) => format!("Argument \"{}({argument}:)\"", name(field)),
            Self::Directive(directive, _) => format!("Argument \"@{directive}({argument}:)\""),
        };
        format!("{argument} of type \"{ty}\" is required, but it was not provided.")
    }
}

impl std::fmt::Display for Owner<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field(Some(parent), field, _) => write!(formatter, "field \"{parent}.{}\"", name(field)),
            Self::Field(None, field, _) => write!(formatter, "field \"{}\"", name(field)),
            Self::Directive(directive, _) => write!(formatter, "directive \"@{}\"", name(directive)),
        }
    }
}
