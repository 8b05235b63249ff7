//! Coerces the variables of a request (section 6.1.2).
//!
//! apollo-compiler has `coerce_variable_values`, which stops at the first error without its path, repeats values of any
//! length in messages, rejects `1.0` for `Int` and integers beyond 2^53 for `Float`, does not know one-of inputs, and
//! leaves defaults as they are written.
use apollo_compiler::{
    Name,
    ast::{Type, VariableDefinition},
    executable::Operation,
    schema::{ExtendedType, InputObjectType},
};
use serde_json::{Map, Number, Value};

use crate::{
    document::Document,
    error::Location,
    schema::Schema,
    value::{Variables, to_json},
};

/// Errors that are reported of one request.
const ERRORS_MAX: usize = 20;

/// A variable whose value is not of its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct VariableError {
    /// The message for the client, with the path within the value. It repeats at most 100 characters of the value.
    pub message: String,
    /// The position of the variable's definition.
    pub location: Location,
    /// Whether a required variable has no value or null.
    pub is_missing: bool,
}

impl Schema {
    /// The values of an operation's variables, defaults put in: of input objects too. Variables without a value and
    /// without a default are left out, as are values for which the operation has no variable.
    ///
    /// As in graphql-js, `1.0` is an `Int`, and an integer is an `ID`. Values of other scalars are not looked at.
    ///
    /// # Errors
    /// The values that are not of their types, at most 20.
    ///
    /// ```
    /// use gatherum_document::{Limits, Options, Schema, Variables};
    ///
    /// let schema = Schema::parse("type Query { page(first: Int, tags: [String!]): Int }")?;
    /// let text = "query ($n: Int, $t: [String!] = [\"new\"]) { page(first: $n, tags: $t) }";
    /// let document = schema.check(text, &Limits::default(), &Options::default())?;
    /// let operation = document.operation(None)?;
    ///
    /// let given: Variables = serde_json::from_str(r#"{"n": 2.0}"#)?;
    /// let values = schema.coerce_variables(&document, operation, &given).map_err(|errors| errors[0].clone())?;
    /// assert_eq!(serde_json::to_string(&values)?, r#"{"n":2,"t":["new"]}"#);
    ///
    /// let given: Variables = serde_json::from_str(r#"{"n": 2.5}"#)?;
    /// let errors = schema.coerce_variables(&document, operation, &given).unwrap_err();
    /// assert_eq!(errors[0].message, "Variable \"$n\" has invalid value: Int cannot represent non-integer value: 2.5");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn coerce_variables(
        &self,
        document: &Document,
        operation: &Operation,
        given: &Variables,
    ) -> Result<Variables, Vec<VariableError>> {
        let mut coercion = Coercion { schema: self, errors: Vec::new(), path: Vec::new() };
        let mut values = Variables::new();
        let mut errors = Vec::new();
        for definition in &operation.variables {
            if let Some(value) = coercion.variable(definition, given.get(definition.name.as_str())) {
                values.insert(definition.name.to_string(), value);
            }
            let location = document.location(definition.location());
            let is_missing = given.get(definition.name.as_str()).is_none_or(Value::is_null);
            let prefix = format!("Variable \"${}\" has invalid value", definition.name);
            errors.extend(coercion.errors.drain(..).map(|(path, reason)| VariableError {
                message: format!(
                    "{prefix}{}: {reason}",
                    if path.is_empty() { path } else { format!(" at \"{path}\"") }
                ),
                location,
                is_missing,
            }));
            if errors.len() >= ERRORS_MAX {
                break;
            }
        }
        errors.truncate(ERRORS_MAX);
        if errors.is_empty() { Ok(values) } else { Err(errors) }
    }
}

struct Coercion<'a> {
    schema: &'a Schema,
    /// Paths and reasons.
    errors: Vec<(String, String)>,
    path: Vec<String>,
}

impl Coercion<'_> {
    fn variable(&mut self, definition: &VariableDefinition, given: Option<&Value>) -> Option<Value> {
        match (given, &definition.default_value) {
            (Some(value), _) => self.value(&definition.ty, value),
            (None, Some(default)) => {
                let value = to_json(default, &Variables::new())?;
                self.value(&definition.ty, &value)
            }
            (None, None) if definition.ty.is_non_null() => {
                self.fail(format!("Expected a value of non-null type \"{}\" to be provided.", definition.ty))
            }
            (None, None) => None,
        }
    }

    /// Records a reason at the path.
    fn fail(&mut self, reason: String) -> Option<Value> {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push((self.path.concat(), reason));
        }
        None
    }

    fn value(&mut self, ty: &Type, value: &Value) -> Option<Value> {
        match (ty, value) {
            (Type::NonNullNamed(_) | Type::NonNullList(_), Value::Null) => {
                self.fail(format!("Expected value of non-null type \"{ty}\" not to be null."))
            }
            (_, Value::Null) => Some(Value::Null),
            (Type::List(item) | Type::NonNullList(item), Value::Array(items)) => {
                let items = items.iter().enumerate().map(|(index, value)| {
                    self.path.push(format!("[{index}]"));
                    let value = self.value(item, value);
                    self.path.pop();
                    value
                });
                // All are looked at, for their errors.
                items.collect::<Vec<_>>().into_iter().collect()
            }
            (Type::List(item) | Type::NonNullList(item), value) => Some(Value::Array(vec![self.value(item, value)?])),
            (Type::Named(name) | Type::NonNullNamed(name), value) => self.named(name, value),
        }
    }

    fn named(&mut self, name: &Name, value: &Value) -> Option<Value> {
        match self.schema.get(name)? {
            ExtendedType::InputObject(ty) => match value {
                Value::Object(given) => self.object(ty, given),
                _ => self.fail(format!("Expected value of type \"{name}\" to be an object, found: {}.", echo(value))),
            },
            ExtendedType::Enum(ty) => match value {
                Value::String(text) if ty.values.contains_key(text.as_str()) => Some(value.clone()),
                Value::String(_) => self.fail(format!("Value {} does not exist in \"{name}\" enum.", echo(value))),
                _ => self.fail(format!("Enum \"{name}\" cannot represent non-string value: {}.", echo(value))),
            },
            _ => match scalar(name, value) {
                Ok(value) => Some(value),
                Err(reason) => self.fail(format!("{name} cannot represent {reason}: {}", echo(value))),
            },
        }
    }

    fn object(&mut self, ty: &InputObjectType, given: &Map<String, Value>) -> Option<Value> {
        let before = self.errors.len();
        let mut object = Map::new();
        for definition in ty.fields.values() {
            self.path.push(format!(".{}", definition.name));
            let value = match (given.get(definition.name.as_str()), &definition.default_value) {
                (Some(value), _) => self.value(&definition.ty, value),
                (None, Some(default)) => {
                    to_json(default, &Variables::new()).and_then(|value| self.value(&definition.ty, &value))
                }
                (None, None) => None,
            };
            self.path.pop();
            match value {
                Some(value) => drop(object.insert(definition.name.to_string(), value)),
                None if definition.is_required() && !given.contains_key(definition.name.as_str()) => {
                    self.fail(format!(
                        "Field \"{}\" of required type \"{}\" was not provided.",
                        definition.name, definition.ty
                    ));
                }
                None => {}
            }
        }
        for unknown in given.keys().filter(|field| !ty.fields.contains_key(field.as_str())) {
            self.fail(format!("Field {} is not defined by type \"{}\".", echo(&unknown.as_str().into()), ty.name));
        }
        if self.schema.is_one_of(&ty.name) && (given.len() != 1 || given.values().any(Value::is_null)) {
            self.fail(format!(
                "Within OneOf Input Object type \"{}\", exactly one field must be specified, and the value for that field must be non-null.",
                ty.name
            ));
        }
        (self.errors.len() == before).then_some(Value::Object(object))
    }
}

/// A value of a scalar type, or what it is instead.
fn scalar(name: &str, value: &Value) -> Result<Value, &'static str> {
    match (name, value) {
        ("Int", Value::Number(number)) => int(number).map(Value::from),
        ("Int", _) => Err("non-integer value"),
        ("Float", Value::Number(number)) if number.as_f64().is_some_and(f64::is_finite) => Ok(value.clone()),
        ("Float", _) => Err("non numeric value"),
        ("String", Value::String(_)) | ("ID", Value::String(_)) | ("Boolean", Value::Bool(_)) => Ok(value.clone()),
        ("ID", Value::Number(number)) => id(number).map(Value::from).ok_or("value"),
        ("String", _) => Err("a non string value"),
        ("Boolean", _) => Err("a non boolean value"),
        ("ID", _) => Err("value"),
        _ => Ok(value.clone()),
    }
}

/// An integer, which may be written as `1.0` or `1e2`: JSON has one kind of numbers.
fn int(number: &Number) -> Result<i32, &'static str> {
    let value = number.as_f64().filter(|value| value.fract() == 0.0).ok_or("non-integer value")?;
    let is_int = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value);
    // Within the range the conversion is exact.
    if is_int { Ok(value as i32) } else { Err("non 32-bit signed integer value") }
}

/// The text of an id that is an integer.
fn id(number: &Number) -> Option<String> {
    let digits = number.to_string();
    if digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return Some(digits);
    }
    /// Integers up to here are exact.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let value = number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() <= EXACT_MAX)?;
    Some(format!("{value:.0}"))
}

/// A value as a message repeats it.
fn echo(value: &Value) -> String {
    const ECHO_MAX: usize = 100;
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        value => {
            let text = value.to_string();
            let mut characters = text.chars();
            let start: String = characters.by_ref().take(ECHO_MAX).collect();
            if characters.next().is_some() { format!("{start}…") } else { start }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Limits, Options};

    const SDL: &str = "
        type Query { f(i: Int, x: Float, s: String, b: Boolean, id: ID, k: Kind, any: Any, o: Range, by: By, l: [[Int!]]): Int }
        enum Kind { A B } scalar Any
        input Range { from: Int! to: Int! = 10 steps: [Int!] inner: Range }
        input By @oneOf { id: ID n: Int }";

    fn coerce(ty: &str, value: Value) -> Result<Value, Vec<String>> {
        let schema = Schema::parse(SDL).expect("a schema");
        let argument = match ty.trim_matches(|c: char| "[]! ".contains(c)) {
            "Int" if ty.starts_with("[[") => "l",
            "Int" => "i",
            "Float" => "x",
            "String" => "s",
            "Boolean" => "b",
            "ID" => "id",
            "Kind" => "k",
            "Any" => "any",
            "Range" => "o",
            _ => "by",
        };
        let text = format!("query ($v: {ty}) {{ f({argument}: $v) }}");
        let document = schema.check(&text, &Limits::default(), &Options::default()).expect("a document");
        let given = json!({ "v": value, "unknown": 1 });
        let given = given.as_object().expect("an object");
        match schema.coerce_variables(&document, document.operation(None).expect("an operation"), given) {
            Ok(values) => Ok(values["v"].clone()),
            Err(errors) => Err(errors.into_iter().map(|error| error.message).collect()),
        }
    }

    #[test]
    fn values_become_those_of_their_types() {
        for (ty, value, expected) in [
            ("Int", json!(1.0), json!(1)),
            ("Int", json!(-2147483648_i64), json!(-2147483648_i64)),
            ("Int", json!(null), json!(null)),
            ("Float", json!(9007199254740993_i64), json!(9007199254740993_i64)),
            ("Float", json!(1), json!(1)),
            ("ID", json!(7), json!("7")),
            ("ID", json!("7"), json!("7")),
            ("ID", json!(7.0), json!("7")),
            ("ID", json!(18446744073709551615_u64), json!("18446744073709551615")),
            ("Kind", json!("A"), json!("A")),
            ("Any", json!({"a": [1.5, null]}), json!({"a": [1.5, null]})),
            ("[[Int!]]", json!(1), json!([[1]])),
            ("[[Int!]]", json!([[1.0], null]), json!([[1], null])),
            ("[[Int!]]", json!([1, 2]), json!([[1], [2]])),
            ("Range", json!({"from": 1}), json!({"from": 1, "to": 10})),
            (
                "Range",
                json!({"from": 1, "steps": 2, "inner": {"from": 3}}),
                json!({"from": 1, "to": 10, "steps": [2], "inner": {"from": 3, "to": 10}}),
            ),
            ("By", json!({"id": 1}), json!({"id": "1"})),
        ] {
            assert_eq!(coerce(ty, value.clone()), Ok(expected), "{ty} {value}");
        }
    }

    #[test]
    fn values_of_other_types_are_rejected_with_their_path() {
        for (ty, value, expected) in [
            ("Int", json!(1.5), "Variable \"$v\" has invalid value: Int cannot represent non-integer value: 1.5"),
            (
                "Int",
                json!(2147483648_i64),
                "Variable \"$v\" has invalid value: Int cannot represent non 32-bit signed integer value: 2147483648",
            ),
            ("Int", json!("1"), "Variable \"$v\" has invalid value: Int cannot represent non-integer value: \"1\""),
            (
                "Int!",
                json!(null),
                "Variable \"$v\" has invalid value: Expected value of non-null type \"Int!\" not to be null.",
            ),
            (
                "[[Int!]]",
                json!([[1, null]]),
                "Variable \"$v\" has invalid value at \"[0][1]\": Expected value of non-null type \"Int!\" not to be null.",
            ),
            ("Kind", json!("C"), "Variable \"$v\" has invalid value: Value \"C\" does not exist in \"Kind\" enum."),
            (
                "Range",
                json!({}),
                "Variable \"$v\" has invalid value: Field \"from\" of required type \"Int!\" was not provided.",
            ),
            (
                "Range",
                json!({"from": 1, "x": 1}),
                "Variable \"$v\" has invalid value: Field \"x\" is not defined by type \"Range\".",
            ),
            (
                "Range",
                json!({"from": 1, "inner": {"from": "1"}}),
                "Variable \"$v\" has invalid value at \".inner.from\": Int cannot represent non-integer value: \"1\"",
            ),
            (
                "By",
                json!({"id": 1, "n": 2}),
                "Variable \"$v\" has invalid value: Within OneOf Input Object type \"By\", exactly one field must be specified, and the value for that field must be non-null.",
            ),
            (
                "By",
                json!({"id": null}),
                "Variable \"$v\" has invalid value: Within OneOf Input Object type \"By\", exactly one field must be specified, and the value for that field must be non-null.",
            ),
            ("ID", json!(1.5), "Variable \"$v\" has invalid value: ID cannot represent value: 1.5"),
            (
                "Boolean",
                json!("true"),
                "Variable \"$v\" has invalid value: Boolean cannot represent a non boolean value: \"true\"",
            ),
        ] {
            assert_eq!(coerce(ty, value.clone()), Err(vec![expected.to_owned()]), "{ty} {value}");
        }
        let errors = coerce("[[Int!]]", json!(vec!["x".repeat(1_000); 1_000])).expect_err("no integers");
        assert_eq!(errors.len(), 20);
        assert!(errors[0].len() < 250, "{}", errors[0]);
    }
}
