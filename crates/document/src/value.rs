//! Argument values with their variables put in.
use apollo_compiler::ast::Value;

/// Values of an operation's variables, by name.
pub type Variables = serde_json::Map<String, serde_json::Value>;

/// Converts a literal into JSON, variables replaced by their values; none for a variable without a value.
///
/// A list's variable without a value becomes null, an input object's field with one is left out (section 3.10).
pub(crate) fn to_json(value: &Value, variables: &Variables) -> Option<serde_json::Value> {
    Some(match value {
        Value::Variable(name) => return variables.get(name.as_str()).cloned(),
        Value::Null => serde_json::Value::Null,
        Value::Boolean(value) => (*value).into(),
        Value::Enum(name) => name.as_str().into(),
        Value::String(text) => text.as_str().into(),
        Value::Int(number) => json_number(number.as_str()).into(),
        Value::Float(number) => json_number(number.as_str()).into(),
        Value::List(items) => items.iter().map(|item| to_json(item, variables).unwrap_or_default()).collect(),
        Value::Object(fields) => fields
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), to_json(value, variables)?)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    })
}

/// A number as it is written; one that JSON cannot represent becomes zero, and validation has rejected it.
fn json_number(text: &str) -> serde_json::Number {
    text.parse().unwrap_or_else(|_| serde_json::Number::from(0))
}

/// Converts a literal into a value of async-graphql, variables replaced by their values; none for a variable without one.
///
/// Numbers keep their form: `1` is an integer, `1.0` is not.
#[cfg(feature = "async-graphql-value")]
pub fn to_async_graphql(
    value: &Value,
    variable: &impl Fn(&str) -> Option<async_graphql_value::ConstValue>,
) -> Option<async_graphql_value::ConstValue> {
    use async_graphql_value::{ConstValue, Name};
    Some(match value {
        Value::Variable(name) => return variable(name.as_str()),
        Value::Null => ConstValue::Null,
        Value::Boolean(value) => ConstValue::Boolean(*value),
        Value::Enum(name) => ConstValue::Enum(Name::new(name.as_str())),
        Value::String(text) => ConstValue::String(text.clone()),
        Value::Int(number) => ConstValue::Number(json_number(number.as_str())),
        Value::Float(number) => ConstValue::Number(json_number(number.as_str())),
        Value::List(items) => {
            ConstValue::List(items.iter().map(|item| to_async_graphql(item, variable).unwrap_or_default()).collect())
        }
        Value::Object(fields) => ConstValue::Object(
            fields
                .iter()
                .filter_map(|(name, value)| Some((Name::new(name.as_str()), to_async_graphql(value, variable)?)))
                .collect(),
        ),
    })
}

/// Converts JSON into a value of async-graphql. Numbers keep their digits.
///
/// `ConstValue::from_json` does not: with the feature `arbitrary_precision` of serde_json, it makes objects of numbers.
#[cfg(feature = "async-graphql-value")]
pub fn json_to_async_graphql(value: serde_json::Value) -> async_graphql_value::ConstValue {
    use async_graphql_value::{ConstValue, Name};
    use serde_json::Value;
    match value {
        Value::Null => ConstValue::Null,
        Value::Bool(value) => ConstValue::Boolean(value),
        Value::Number(number) => ConstValue::Number(number),
        Value::String(text) => ConstValue::String(text),
        Value::Array(items) => ConstValue::List(items.into_iter().map(json_to_async_graphql).collect()),
        Value::Object(fields) => ConstValue::Object(
            fields.into_iter().map(|(name, value)| (Name::new(name), json_to_async_graphql(value))).collect(),
        ),
    }
}

/// Converts a value of async-graphql into JSON. Numbers keep their digits; an enum value becomes its name.
#[cfg(feature = "async-graphql-value")]
pub fn async_graphql_to_json(value: &async_graphql_value::ConstValue) -> serde_json::Value {
    use async_graphql_value::ConstValue;
    match value {
        ConstValue::Null => serde_json::Value::Null,
        ConstValue::Boolean(value) => (*value).into(),
        ConstValue::Number(number) => number.clone().into(),
        ConstValue::String(text) => text.as_str().into(),
        ConstValue::Enum(name) => name.as_str().into(),
        ConstValue::Binary(bytes) => bytes.as_ref().into(),
        ConstValue::List(items) => items.iter().map(async_graphql_to_json).collect(),
        ConstValue::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.to_string(), async_graphql_to_json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use apollo_compiler::ast::{Definition, Document};

    use super::*;

    /// The value of the argument of `{ f(v: …) }`.
    fn literal(text: &str) -> Value {
        let document = Document::parse(format!("{{ f(v: {text}) }}"), "test").expect("a document");
        let Definition::OperationDefinition(operation) = &document.definitions[0] else { panic!("an operation") };
        let field = operation.selection_set[0].as_field().expect("a field");
        (*field.arguments[0].value).clone()
    }

    const CASES: [(&str, &str); 17] = [
        ("1", "1"),
        ("-0", "-0"),
        ("1.50", "1.50"),
        ("12345678901234567890", "12345678901234567890"),
        ("true", "true"),
        ("null", "null"),
        ("NAME", "\"NAME\""),
        (r#""a\n\"\u0041\u{1F600}\uD83D\uDE00""#, "\"a\\n\\\"A😀😀\""),
        ("\"\"\"\n    a\n      b \\\"\"\"\n    \"\"\"", "\"a\\n  b \\\"\\\"\\\"\""),
        ("\"\"", "\"\""),
        ("[]", "[]"),
        ("[1, $x, $none]", "[1,7,null]"),
        ("{}", "{}"),
        ("{a: 1, b: $none, c: [$x]}", "{\"a\":1,\"c\":[7]}"),
        ("$x", "7"),
        ("[[$x], null]", "[[7],null]"),
        ("{a: {b: $x}}", "{\"a\":{\"b\":7}}"),
    ];

    #[test]
    fn literals_become_json_with_their_variables() {
        let variables = serde_json::from_str(r#"{"x": 7}"#).expect("JSON");
        for (text, expected) in CASES {
            let value = to_json(&literal(text), &variables).expect("a value");
            let expected: serde_json::Value = serde_json::from_str(expected).expect("JSON");
            assert_eq!(value, expected, "{text}");
        }
        assert_eq!(to_json(&literal("$none"), &variables), None);
    }

    #[cfg(feature = "async-graphql-value")]
    #[test]
    fn values_of_async_graphql_are_the_same() {
        use async_graphql_value::ConstValue;
        let variable = |name: &str| (name == "x").then(|| ConstValue::from(7));
        for (text, expected) in CASES {
            let value = to_async_graphql(&literal(text), &variable).expect("a value");
            let expected: serde_json::Value = serde_json::from_str(expected).expect("JSON");
            assert_eq!(async_graphql_to_json(&value), expected, "{text}");
            if !text.contains('A') {
                assert_eq!(json_to_async_graphql(expected), value, "{text}");
            }
        }
        assert_eq!(to_async_graphql(&literal("$none"), &variable), None);
        assert_eq!(
            to_async_graphql(&literal("A"), &variable),
            Some(ConstValue::Enum(async_graphql_value::Name::new("A")))
        );
    }
}
