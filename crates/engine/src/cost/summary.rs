//! What the guard knows of the schema: which fields lead to how many objects.
use std::collections::HashMap;

use async_graphql::{
    Value,
    parser::{
        parse_schema,
        types::{BaseType, FieldDefinition, Type, TypeKind, TypeSystemDefinition},
    },
};

use crate::error::{Error, Result};

/// The fields of every type with fields.
#[derive(Debug)]
pub(crate) struct SchemaSummary {
    types: HashMap<String, HashMap<String, FieldSummary>>,
    pub(crate) query: String,
    pub(crate) mutation: String,
    pub(crate) subscription: String,
}

/// What a field leads to.
#[derive(Clone, Debug)]
pub(crate) struct FieldSummary {
    /// The name of its type, without lists and non-null.
    pub(crate) of: String,
    pub(crate) is_list: bool,
    /// Whether it takes `first` or `last`; with the default, where it has one.
    pub(crate) page: Option<Option<u64>>,
    /// Whether it takes a list of ids, each of which leads to an object.
    pub(crate) takes_ids: bool,
}

impl SchemaSummary {
    pub(crate) fn read(sdl: &str) -> Result<Self> {
        let document = parse_schema(sdl).map_err(Error::internal)?;
        let mut types = HashMap::new();
        let mut roots = ["Query".to_owned(), "Mutation".to_owned(), "Subscription".to_owned()];
        for definition in document.definitions {
            match definition {
                TypeSystemDefinition::Type(definition) => {
                    let fields = match definition.node.kind {
                        TypeKind::Object(object) => object.fields,
                        TypeKind::Interface(interface) => interface.fields,
                        _ => continue,
                    };
                    let fields = fields.iter().map(|field| (field.node.name.node.to_string(), shape(&field.node)));
                    types.insert(definition.node.name.node.to_string(), fields.collect());
                }
                TypeSystemDefinition::Schema(schema) => {
                    let given = [schema.node.query, schema.node.mutation, schema.node.subscription];
                    for (root, given) in roots.iter_mut().zip(given) {
                        *root = given.map_or_else(|| root.clone(), |name| name.node.to_string());
                    }
                }
                TypeSystemDefinition::Directive(_) => {}
            }
        }
        let [query, mutation, subscription] = roots;
        Ok(Self { types, query, mutation, subscription })
    }

    pub(crate) fn field(&self, of: &str, name: &str) -> Option<&FieldSummary> {
        self.types.get(of)?.get(name)
    }

    /// Whether values of this type have fields.
    pub(crate) fn has_fields(&self, name: &str) -> bool {
        self.types.contains_key(name)
    }
}

fn shape(field: &FieldDefinition) -> FieldSummary {
    let argument = |name: &str| field.arguments.iter().find(|argument| argument.node.name.node == *name);
    let default = |name: &str| {
        argument(name).map(|argument| match argument.node.default_value.as_ref().map(|value| &value.node) {
            Some(Value::Number(number)) => number.as_u64(),
            _ => None,
        })
    };
    let (of, is_list) = innermost(&field.ty.node);
    FieldSummary {
        of,
        is_list,
        page: default("first").or_else(|| default("last")),
        takes_ids: argument("ids").is_some(),
    }
}

fn innermost(ty: &Type) -> (String, bool) {
    match &ty.base {
        BaseType::Named(name) => (name.to_string(), false),
        BaseType::List(inner) => (innermost(inner).0, true),
    }
}
