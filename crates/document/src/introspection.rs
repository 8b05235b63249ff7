//! Answers `__schema`, `__type` and `__typename` at the root of an operation (section 4).
//!
//! apollo-compiler has an executor for this, which does not know `isOneOf`.
use apollo_compiler::{
    Name, Node,
    ast::{
        DirectiveDefinition, DirectiveList, EnumValueDefinition, FieldDefinition, InputValueDefinition, Type,
        Value as Literal,
    },
    executable::{Field, Operation, Selection, SelectionSet},
    schema::ExtendedType,
};
use serde_json::{Map, Value, json};

use crate::{
    document::Document,
    schema::Schema,
    value::{Variables, to_json},
};

impl Schema {
    /// The values of the fields `__schema`, `__type` and `__typename` at the root of an operation, by response key and
    /// in the order of the selection. Other fields are left out.
    ///
    /// The result of a document that [`Self::validate`] accepts is bounded: lists of types nest two deep at most.
    ///
    /// ```
    /// use gatherum_document::{Limits, Options, Schema, Variables};
    ///
    /// let schema = Schema::parse("type Query { name: String }")?;
    /// let document = schema.check("{ name kind: __typename }", &Limits::default(), &Options::default())?;
    /// let answer = schema.introspect(&document, document.operation(None)?, &Variables::new());
    /// assert_eq!(serde_json::to_string(&answer)?, r#"{"kind":"Query"}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn introspect(&self, document: &Document, operation: &Operation, variables: &Variables) -> Map<String, Value> {
        let introspection = Introspection { schema: self, document, variables };
        let root = operation.object_type();
        let mut answer = Map::new();
        for (key, fields) in introspection.collect(root, &[&operation.selection_set]) {
            let value = match fields[0].name.as_str() {
                "__typename" => root.as_str().into(),
                "__schema" => introspection.object(Object::Schema, &fields),
                "__type" => introspection.type_by_name(&fields),
                _ => continue,
            };
            answer.insert(key.to_owned(), value);
        }
        answer
    }
}

struct Introspection<'a> {
    schema: &'a Schema,
    document: &'a Document,
    variables: &'a Variables,
}

/// An object of the introspection schema.
#[derive(Clone, Copy)]
enum Object<'a> {
    Schema,
    Type(TypeRef<'a>),
    Field(&'a FieldDefinition),
    InputValue(&'a InputValueDefinition),
    EnumValue(&'a EnumValueDefinition),
    Directive(&'a DirectiveDefinition),
}

#[derive(Clone, Copy)]
enum TypeRef<'a> {
    Named(&'a ExtendedType),
    NonNull(&'a Type),
    /// The list type, without a non-null around it.
    List(&'a Type),
}

type Fields<'a> = Vec<&'a Node<Field>>;

impl<'a> Introspection<'a> {
    /// The fields of selection sets on an object type, merged by response key (section 6.3.2).
    fn collect(&self, ty: &str, sets: &[&'a SelectionSet]) -> Vec<(&'a str, Fields<'a>)> {
        let mut groups = Vec::new();
        let mut visited = Vec::new();
        sets.iter().for_each(|set| self.collect_into(ty, set, &mut groups, &mut visited));
        groups
    }

    fn collect_into(
        &self,
        ty: &str,
        set: &'a SelectionSet,
        groups: &mut Vec<(&'a str, Fields<'a>)>,
        visited: &mut Vec<&'a Name>,
    ) {
        for selection in set.selections.iter().filter(|selection| self.is_included(selection.directives())) {
            match selection {
                Selection::Field(field) => {
                    let key = field.response_key().as_str();
                    match groups.iter_mut().find(|(known, _)| *known == key) {
                        Some((_, fields)) => fields.push(field),
                        None => groups.push((key, vec![field])),
                    }
                }
                Selection::InlineFragment(fragment) => {
                    if fragment.type_condition.as_ref().is_none_or(|condition| self.is_a(ty, condition)) {
                        self.collect_into(ty, &fragment.selection_set, groups, visited);
                    }
                }
                Selection::FragmentSpread(spread) if !visited.contains(&&spread.fragment_name) => {
                    visited.push(&spread.fragment_name);
                    let fragment = self.document.fragments().get(&spread.fragment_name);
                    if let Some(fragment) = fragment.filter(|fragment| self.is_a(ty, fragment.type_condition())) {
                        self.collect_into(ty, &fragment.selection_set, groups, visited);
                    }
                }
                Selection::FragmentSpread(_) => {}
            }
        }
    }

    fn is_a(&self, ty: &str, condition: &Name) -> bool {
        self.schema.possible_types(condition).is_some_and(|types| types.contains(ty))
    }

    fn is_included(&self, directives: &DirectiveList) -> bool {
        let condition = |name: &str| {
            let value = directives.get(name)?.specified_argument_by_name("if")?;
            to_json(value, self.variables)?.as_bool()
        };
        condition("skip") != Some(true) && condition("include") != Some(false)
    }

    fn object(&self, object: Object<'a>, fields: &Fields<'a>) -> Value {
        let sets: Vec<&SelectionSet> = fields.iter().map(|field| &field.selection_set).collect();
        let groups = self.collect(object.type_name(), &sets);
        let value = |(key, fields): (&str, Fields<'a>)| (key.to_owned(), self.value(object, &fields));
        Value::Object(groups.into_iter().map(value).collect())
    }

    fn value(&self, object: Object<'a>, fields: &Fields<'a>) -> Value {
        let field = fields[0];
        match (object, field.name.as_str()) {
            (_, "__typename") => object.type_name().into(),
            (Object::Schema, name) => self.of_schema(name, fields),
            (Object::Type(TypeRef::Named(ty)), name) => self.of_type(ty, name, fields),
            (Object::Type(wrapped), name) => self.of_wrapped(wrapped, name, fields),
            (Object::Field(field), "type") => self.type_ref(&field.ty, fields),
            (Object::Field(field), "args") => self.inputs(field.arguments.iter().map(|argument| &**argument), fields),
            (Object::Field(field), name) => {
                described(name, &field.name, field.description.as_deref(), &field.directives)
            }
            (Object::InputValue(input), "type") => self.type_ref(&input.ty, fields),
            (Object::InputValue(input), "defaultValue") => {
                input.default_value.as_ref().map_or(Value::Null, |value| print(value).into())
            }
            (Object::InputValue(input), name) => {
                described(name, &input.name, input.description.as_deref(), &input.directives)
            }
            (Object::EnumValue(value), name) => {
                described(name, &value.value, value.description.as_deref(), &value.directives)
            }
            (Object::Directive(directive), "args") => {
                self.inputs(directive.arguments.iter().map(|argument| &**argument), fields)
            }
            (Object::Directive(directive), "locations") => {
                directive.locations.iter().map(|location| location.name()).collect::<Vec<_>>().into()
            }
            (Object::Directive(directive), "isRepeatable") => directive.repeatable.into(),
            (Object::Directive(directive), name) => {
                described(name, &directive.name, directive.description.as_deref(), &DirectiveList::new())
            }
        }
    }

    fn of_schema(&self, name: &str, fields: &Fields<'a>) -> Value {
        let schema = self.schema.definition();
        let root = |name: Option<&'a apollo_compiler::schema::ComponentName>| {
            name.and_then(|name| self.schema.get(name)).map_or(Value::Null, |ty| self.named(ty, fields))
        };
        let definition = &schema.schema_definition;
        match name {
            "description" => json!(definition.description.as_deref()),
            "types" => schema.types.values().map(|ty| self.named(ty, fields)).collect(),
            "queryType" => root(definition.query.as_ref()),
            "mutationType" => root(definition.mutation.as_ref()),
            "subscriptionType" => root(definition.subscription.as_ref()),
            "directives" => schema
                .directive_definitions
                .values()
                .map(|found| self.object(Object::Directive(found), fields))
                .collect(),
            _ => Value::Null,
        }
    }

    fn named(&self, ty: &'a ExtendedType, fields: &Fields<'a>) -> Value {
        self.object(Object::Type(TypeRef::Named(ty)), fields)
    }

    fn of_type(&self, ty: &'a ExtendedType, name: &str, fields: &Fields<'a>) -> Value {
        match name {
            "kind" => kind(ty).into(),
            "name" => ty.name().as_str().into(),
            "description" => json!(ty.description().map(|text| text.as_str())),
            "specifiedByURL" => match ty {
                ExtendedType::Scalar(ty) => {
                    string_argument(ty.directives.get("specifiedBy").map(|found| &found.node), "url")
                }
                _ => Value::Null,
            },
            "isOneOf" => match ty {
                ExtendedType::InputObject(ty) => self.schema.is_one_of(&ty.name).into(),
                _ => Value::Null,
            },
            "fields" => match ty {
                ExtendedType::Object(ty) => self.fields(ty.fields.values().map(|field| &**field), fields),
                ExtendedType::Interface(ty) => self.fields(ty.fields.values().map(|field| &**field), fields),
                _ => Value::Null,
            },
            "interfaces" => match ty {
                ExtendedType::Object(ty) => {
                    self.types(ty.implements_interfaces.iter().map(|found| &found.name), fields)
                }
                ExtendedType::Interface(ty) => {
                    self.types(ty.implements_interfaces.iter().map(|found| &found.name), fields)
                }
                _ => Value::Null,
            },
            "possibleTypes" => match ty {
                ExtendedType::Interface(ty) => self.types(
                    self.schema.implementers().get(&ty.name).into_iter().flat_map(|found| &found.objects),
                    fields,
                ),
                ExtendedType::Union(ty) => self.types(ty.members.iter().map(|found| &found.name), fields),
                _ => Value::Null,
            },
            "enumValues" => match ty {
                ExtendedType::Enum(ty) => {
                    let all = self.includes_deprecated(fields);
                    let values = ty.values.values().filter(|value| all || !value.directives.has("deprecated"));
                    values.map(|value| self.object(Object::EnumValue(value), fields)).collect()
                }
                _ => Value::Null,
            },
            "inputFields" => match ty {
                ExtendedType::InputObject(ty) => self.inputs(ty.fields.values().map(|field| &***field), fields),
                _ => Value::Null,
            },
            _ => Value::Null,
        }
    }

    fn of_wrapped(&self, wrapped: TypeRef<'a>, name: &str, fields: &Fields<'a>) -> Value {
        match (name, wrapped) {
            ("kind", TypeRef::NonNull(_)) => "NON_NULL".into(),
            ("kind", TypeRef::List(_)) => "LIST".into(),
            ("ofType", TypeRef::NonNull(Type::NonNullNamed(name))) => {
                self.schema.get(name).map_or(Value::Null, |ty| self.named(ty, fields))
            }
            ("ofType", TypeRef::NonNull(ty)) => self.object(Object::Type(TypeRef::List(ty)), fields),
            ("ofType", TypeRef::List(Type::List(item) | Type::NonNullList(item))) => self.type_ref(item, fields),
            _ => Value::Null,
        }
    }

    fn type_ref(&self, ty: &'a Type, fields: &Fields<'a>) -> Value {
        match ty {
            Type::Named(name) => self.schema.get(name).map_or(Value::Null, |ty| self.named(ty, fields)),
            Type::List(_) => self.object(Object::Type(TypeRef::List(ty)), fields),
            Type::NonNullNamed(_) | Type::NonNullList(_) => self.object(Object::Type(TypeRef::NonNull(ty)), fields),
        }
    }

    fn types(&self, names: impl Iterator<Item = &'a Name>, fields: &Fields<'a>) -> Value {
        names.filter_map(|name| self.schema.get(name)).map(|ty| self.named(ty, fields)).collect()
    }

    fn fields(&self, definitions: impl Iterator<Item = &'a Node<FieldDefinition>>, fields: &Fields<'a>) -> Value {
        let all = self.includes_deprecated(fields);
        let definitions = definitions.filter(|found| all || !found.directives.has("deprecated"));
        definitions.map(|found| self.object(Object::Field(found), fields)).collect()
    }

    fn inputs(&self, definitions: impl Iterator<Item = &'a InputValueDefinition>, fields: &Fields<'a>) -> Value {
        let all = self.includes_deprecated(fields);
        let definitions = definitions.filter(|found| all || !found.directives.has("deprecated"));
        definitions.map(|found| self.object(Object::InputValue(found), fields)).collect()
    }

    fn includes_deprecated(&self, fields: &Fields<'a>) -> bool {
        let argument = fields[0].specified_argument_by_name("includeDeprecated");
        argument.and_then(|value| to_json(value, self.variables)?.as_bool()).unwrap_or(false)
    }

    fn type_by_name(&self, fields: &Fields<'a>) -> Value {
        let name = fields[0].specified_argument_by_name("name").and_then(|value| to_json(value, self.variables));
        let ty = name.as_ref().and_then(Value::as_str).and_then(|name| self.schema.get(name));
        ty.map_or(Value::Null, |ty| self.named(ty, fields))
    }
}

impl Object<'_> {
    fn type_name(self) -> &'static str {
        match self {
            Self::Schema => "__Schema",
            Self::Type(_) => "__Type",
            Self::Field(_) => "__Field",
            Self::InputValue(_) => "__InputValue",
            Self::EnumValue(_) => "__EnumValue",
            Self::Directive(_) => "__Directive",
        }
    }
}

fn kind(ty: &ExtendedType) -> &'static str {
    match ty {
        ExtendedType::Scalar(_) => "SCALAR",
        ExtendedType::Object(_) => "OBJECT",
        ExtendedType::Interface(_) => "INTERFACE",
        ExtendedType::Union(_) => "UNION",
        ExtendedType::Enum(_) => "ENUM",
        ExtendedType::InputObject(_) => "INPUT_OBJECT",
    }
}

/// The fields that fields, values and directives share.
fn described(field: &str, name: &Name, description: Option<&str>, directives: &DirectiveList) -> Value {
    match field {
        "name" => name.as_str().into(),
        "description" => json!(description),
        "isDeprecated" => directives.has("deprecated").into(),
        "deprecationReason" => match directives.get("deprecated") {
            Some(directive) if directive.specified_argument_by_name("reason").is_none() => "No longer supported".into(),
            directive => string_argument(directive, "reason"),
        },
        _ => Value::Null,
    }
}

/// A literal as the introspection of graphql-js prints it.
fn print(literal: &Literal) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match literal {
        Literal::List(items) => format!("[{}]", list(items.iter().map(|item| print(item)).collect())),
        Literal::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Literal::Object(fields) => {
            format!("{{ {} }}", list(fields.iter().map(|(name, value)| format!("{name}: {}", print(value))).collect()))
        }
        // The escapes of JSON are those of GraphQL.
        Literal::String(text) => json!(text).to_string(),
        Literal::Int(_)
        | Literal::Float(_)
        | Literal::Boolean(_)
        | Literal::Enum(_)
        | Literal::Null
        | Literal::Variable(_) => literal.to_string(),
    }
}

fn string_argument(directive: Option<&Node<apollo_compiler::ast::Directive>>, name: &str) -> Value {
    json!(directive.and_then(|directive| directive.specified_argument_by_name(name)).and_then(|value| value.as_str()))
}
