//! async-graphql's validator for any schema definition.
use std::sync::Arc;

use apollo_compiler::{
    Schema,
    ast::{InputValueDefinition, Type, Value as AstValue},
    schema::ExtendedType,
};
use async_graphql::{
    Request, Response, Value,
    dynamic::{
        Enum, Field, FieldFuture, InputObject, InputValue, Interface, InterfaceField, Object, Scalar, SchemaBuilder,
        Subscription, SubscriptionField, SubscriptionFieldFuture, TypeRef, Union,
    },
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute},
};
use futures_util::{FutureExt as _, stream};

/// A schema of async-graphql whose requests end after validation.
pub struct Upstream(async_graphql::dynamic::Schema);

impl Upstream {
    pub fn new(schema: &Schema) -> Self {
        let root = |kind| schema.root_operation(kind).map(|name| name.as_str());
        let (query, mutation) =
            (root(apollo_compiler::ast::OperationType::Query), root(apollo_compiler::ast::OperationType::Mutation));
        let subscription = root(apollo_compiler::ast::OperationType::Subscription);
        let builder = async_graphql::dynamic::Schema::build(query.expect("a query type"), mutation, subscription);
        let builder = schema
            .types
            .values()
            .fold(builder.extension(ValidateOnly), |builder, ty| register(builder, ty, subscription));
        Self(builder.finish().expect("a schema that async-graphql accepts"))
    }

    /// The messages of the errors in the document, and whether they come from the parser.
    pub fn errors(&self, text: &str) -> Vec<String> {
        let response = self.0.execute(Request::new(text)).now_or_never().expect("validation waits for nothing");
        // A document with several operations is valid; only its execution needs a name.
        let is_invalid = |message: &String| !message.starts_with("Operation name required");
        response.errors.into_iter().map(|error| error.message).filter(is_invalid).collect()
    }
}

fn register(builder: SchemaBuilder, ty: &ExtendedType, subscription: Option<&str>) -> SchemaBuilder {
    if ty.name().starts_with("__") || matches!(ty.name().as_str(), "Int" | "Float" | "String" | "Boolean" | "ID") {
        return builder;
    }
    match ty {
        ExtendedType::Scalar(ty) => builder.register(Scalar::new(ty.name.as_str())),
        ExtendedType::Object(ty) if Some(ty.name.as_str()) == subscription => {
            let fields = ty.fields.values().fold(Subscription::new(ty.name.as_str()), |object, field| {
                let made = SubscriptionField::new(field.name.as_str(), type_ref(&field.ty), |_| {
                    SubscriptionFieldFuture::new(async { Ok(stream::empty::<async_graphql::Result<Value>>()) })
                });
                object.field(field.arguments.iter().fold(made, |made, argument| made.argument(input(argument))))
            });
            builder.register(fields)
        }
        ExtendedType::Object(ty) => {
            let object = ty
                .implements_interfaces
                .iter()
                .fold(Object::new(ty.name.as_str()), |object, name| object.implement(name.as_str()));
            builder.register(ty.fields.values().fold(object, |object, field| {
                let made = Field::new(field.name.as_str(), type_ref(&field.ty), |_| FieldFuture::from_value(None));
                object.field(field.arguments.iter().fold(made, |made, argument| made.argument(input(argument))))
            }))
        }
        ExtendedType::Interface(ty) => {
            let interface = ty
                .implements_interfaces
                .iter()
                .fold(Interface::new(ty.name.as_str()), |interface, name| interface.implement(name.as_str()));
            builder.register(ty.fields.values().fold(interface, |interface, field| {
                let made = InterfaceField::new(field.name.as_str(), type_ref(&field.ty));
                interface.field(field.arguments.iter().fold(made, |made, argument| made.argument(input(argument))))
            }))
        }
        ExtendedType::Union(ty) => builder.register(
            ty.members.iter().fold(Union::new(ty.name.as_str()), |union, name| union.possible_type(name.as_str())),
        ),
        ExtendedType::Enum(ty) => builder
            .register(ty.values.keys().fold(Enum::new(ty.name.as_str()), |made, value| made.item(value.as_str()))),
        ExtendedType::InputObject(ty) => {
            let made =
                ty.fields.values().fold(InputObject::new(ty.name.as_str()), |object, field| object.field(input(field)));
            builder.register(if ty.directives.has("oneOf") { made.oneof() } else { made })
        }
    }
}

fn input(definition: &InputValueDefinition) -> InputValue {
    let made = InputValue::new(definition.name.as_str(), type_ref(&definition.ty));
    match &definition.default_value {
        Some(value) => made.default_value(constant(value)),
        None => made,
    }
}

fn type_ref(ty: &Type) -> TypeRef {
    match ty {
        Type::Named(name) => TypeRef::named(name.as_str()),
        Type::NonNullNamed(name) => TypeRef::named_nn(name.as_str()),
        Type::List(item) => TypeRef::List(Box::new(type_ref(item))),
        Type::NonNullList(item) => TypeRef::NonNull(Box::new(TypeRef::List(Box::new(type_ref(item))))),
    }
}

fn constant(value: &AstValue) -> Value {
    use async_graphql::Name;
    match value {
        AstValue::Null | AstValue::Variable(_) => Value::Null,
        AstValue::Boolean(value) => Value::Boolean(*value),
        AstValue::String(value) => Value::String(value.clone()),
        AstValue::Enum(name) => Value::Enum(Name::new(name.as_str())),
        AstValue::Int(number) => Value::Number(number.as_str().parse().expect("a number")),
        AstValue::Float(number) => Value::Number(number.as_str().parse().expect("a number")),
        AstValue::List(items) => Value::List(items.iter().map(|item| constant(item)).collect()),
        AstValue::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (Name::new(name.as_str()), constant(value))).collect())
        }
    }
}

/// Stops async-graphql after validation.
struct ValidateOnly;

impl ExtensionFactory for ValidateOnly {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for ValidateOnly {
    async fn execute(&self, _: &ExtensionContext<'_>, _: Option<&str>, _: NextExecute<'_>) -> Response {
        Response::default()
    }
}
