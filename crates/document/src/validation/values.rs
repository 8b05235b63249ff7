//! Literals must be of the type that their position expects (section 5.6.1).
use apollo_compiler::{
    Name, Node,
    ast::{Type, Value},
    schema::{ExtendedType, InputObjectType},
};

use super::{Context, name};

const RULE: &str = "ValuesOfCorrectType";

/// Checks a value at a position of the type. Variables are checked elsewhere.
pub(super) fn check(context: &mut Context<'_>, value: &Node<Value>, ty: &Type) {
    match (&**value, ty) {
        (Value::Variable(_), _) => {}
        (Value::Null, Type::NonNullNamed(_) | Type::NonNullList(_)) => {
            let message = format!("Expected value of non-null type \"{ty}\" not to be null.");
            context.report(RULE, message, &[value.location()]);
        }
        (Value::Null, _) => {}
        (Value::List(items), Type::List(item) | Type::NonNullList(item)) => {
            items.iter().for_each(|inner| check(context, inner, item));
        }
        // A single value stands for a list of one (section 3.11).
        (_, Type::List(item) | Type::NonNullList(item)) => check(context, value, item),
        (_, Type::Named(named) | Type::NonNullNamed(named)) => check_named(context, value, named),
    }
}

fn check_named(context: &mut Context<'_>, value: &Node<Value>, named: &Name) {
    let Some(ty) = context.schema.get(named) else { return };
    let is_correct = match ty {
        ExtendedType::InputObject(ty) => return check_object(context, value, ty),
        ExtendedType::Enum(ty) => match &**value {
            Value::Enum(found) if ty.values.contains_key(found) => true,
            Value::Enum(found) => {
                let hint = context.did_you_mean(found, ty.values.keys().map(Name::as_str)).replacen(
                    "mean",
                    "mean the enum value",
                    1,
                );
                let message = format!("Value \"{}\" does not exist in \"{named}\" enum.{hint}", name(found));
                return context.report(RULE, message, &[value.location()]);
            }
            _ => false,
        },
        ExtendedType::Scalar(_) => is_scalar(named, value),
        _ => true,
    };
    if !is_correct {
        wrong(context, value, named);
    }
}

fn wrong(context: &mut Context<'_>, value: &Node<Value>, named: &Name) {
    let reason = match (named.as_str(), &**value) {
        ("Int", Value::Int(_)) => "Int cannot represent non 32-bit signed integer value",
        ("Int", _) => "Int cannot represent non-integer value",
        ("Float", _) => "Float cannot represent non numeric value",
        ("String", _) => "String cannot represent a non string value",
        ("Boolean", _) => "Boolean cannot represent a non boolean value",
        ("ID", _) => "ID cannot represent a non-string and non-integer value",
        _ => {
            let message =
                format!("Enum \"{named}\" cannot represent non-enum value: {}.", context.source(value.location()));
            return context.report(RULE, message, &[value.location()]);
        }
    };
    let message = format!("{reason}: {}", context.source(value.location()));
    context.report(RULE, message, &[value.location()]);
}

fn is_scalar(named: &str, value: &Value) -> bool {
    match (named, value) {
        ("Int", Value::Int(number)) => number.try_to_i32().is_ok(),
        ("Float", Value::Int(number)) => number.try_to_f64().is_ok(),
        ("Float", Value::Float(number)) => number.try_to_f64().is_ok(),
        ("String" | "ID", Value::String(_)) | ("ID", Value::Int(_)) | ("Boolean", Value::Boolean(_)) => true,
        ("Int" | "Float" | "String" | "Boolean" | "ID", _) => false,
        // What a scalar of the schema accepts is decided when it is read.
        _ => true,
    }
}

fn check_object(context: &mut Context<'_>, value: &Node<Value>, ty: &InputObjectType) {
    let named = &ty.name;
    let Value::Object(fields) = &**value else {
        let message =
            format!("Expected value of type \"{named}\" to be an object, found: {}.", context.source(value.location()));
        return context.report(RULE, message, &[value.location()]);
    };
    for definition in ty.fields.values() {
        // The last one counts if a field is given twice.
        match fields.iter().rev().find(|(field, _)| *field == definition.name) {
            Some((_, inner)) => check(context, inner, &definition.ty),
            None if definition.is_required() => {
                let message = format!(
                    "Field \"{named}.{}\" of required type \"{}\" was not provided.",
                    definition.name, definition.ty
                );
                context.report(RULE, message, &[value.location()]);
            }
            None => {}
        }
    }
    for (field, _) in fields.iter().filter(|(field, _)| !ty.fields.contains_key(field)) {
        let hint = context.did_you_mean(field, ty.fields.keys().map(Name::as_str));
        let message = format!("Field \"{}\" is not defined by type \"{named}\".{hint}", name(field));
        context.report(RULE, message, &[field.location()]);
    }
    if context.schema.is_one_of(named) {
        check_one_of(context, value, fields, ty);
    }
}

/// Checks that exactly one field is given, and is not null (section 3.10.1).
fn check_one_of(context: &mut Context<'_>, value: &Node<Value>, fields: &[(Name, Node<Value>)], ty: &InputObjectType) {
    let mut known = fields.iter().filter(|(field, _)| ty.fields.contains_key(field));
    let is_one = matches!((known.next(), known.next()), (Some((_, inner)), None) if !inner.is_null());
    if !is_one {
        let message = format!(
            "Within OneOf Input Object type \"{}\", exactly one field must be specified, and the value for that field must be non-null.",
            ty.name
        );
        context.report(RULE, message, &[value.location()]);
    }
}
