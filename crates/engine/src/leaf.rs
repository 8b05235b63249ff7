//! Scalars and enums as JSON, written directly into the response.
use async_graphql::{ID, InputType, registry::Registry};
use serde_json::value::RawValue;

use crate::id::GlobalId;

/// A value without fields of its own: a scalar or an enum.
pub trait Leaf {
    /// Registers the type and returns its reference in the schema, such as `String!`.
    fn type_ref(registry: &mut Registry) -> String;

    /// Appends the value as JSON.
    fn write(&self, json: &mut Vec<u8>);
}

impl Leaf for str {
    fn type_ref(registry: &mut Registry) -> String {
        <String as InputType>::create_type_info(registry)
    }
    fn write(&self, json: &mut Vec<u8>) {
        serde_json::to_writer(json, self).expect("writing a text to memory does not fail");
    }
}

impl Leaf for String {
    fn type_ref(registry: &mut Registry) -> String {
        str::type_ref(registry)
    }
    fn write(&self, json: &mut Vec<u8>) {
        self.as_str().write(json);
    }
}

impl Leaf for i64 {
    fn type_ref(registry: &mut Registry) -> String {
        <i32 as InputType>::create_type_info(registry)
    }
    /// GraphQL's `Int` has 32 bits; a value outside of its range is written as the nearest one inside.
    fn write(&self, json: &mut Vec<u8>) {
        let value = (*self).clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        serde_json::to_writer(json, &value).expect("writing a number to memory does not fail");
    }
}

impl Leaf for bool {
    fn type_ref(registry: &mut Registry) -> String {
        <bool as InputType>::create_type_info(registry)
    }
    fn write(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl Leaf for GlobalId {
    fn type_ref(registry: &mut Registry) -> String {
        <ID as InputType>::create_type_info(registry)
    }
    fn write(&self, json: &mut Vec<u8>) {
        json.push(b'"');
        GlobalId::write(*self, json);
        json.push(b'"');
    }
}

/// JSON text that is stored as it is.
impl Leaf for Box<RawValue> {
    fn type_ref(registry: &mut Registry) -> String {
        <crate::scalar::Json as InputType>::create_type_info(registry)
    }
    fn write(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(self.get().as_bytes());
    }
}

impl<L: Leaf> Leaf for Option<L> {
    fn type_ref(registry: &mut Registry) -> String {
        L::type_ref(registry).trim_end_matches('!').to_owned()
    }
    fn write(&self, json: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(json),
            None => json.extend_from_slice(b"null"),
        }
    }
}
