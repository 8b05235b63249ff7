//! JSON values of leaves, written straight into the answer.
use async_graphql::{ID, InputType, registry::Registry};
use serde_json::value::RawValue;

use super::id::GlobalId;
use crate::db::{Text, Time};

/// A value without fields of its own: a scalar or an enum.
pub trait Leaf {
    /// The type in the schema, such as `String!`, registered with all it needs.
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

impl Leaf for Text {
    fn type_ref(registry: &mut Registry) -> String {
        str::type_ref(registry)
    }
    fn write(&self, json: &mut Vec<u8>) {
        (**self).write(json);
    }
}

impl Leaf for i64 {
    fn type_ref(registry: &mut Registry) -> String {
        <i32 as InputType>::create_type_info(registry)
    }
    /// GraphQL's `Int` has 32 bits; what is larger is given as the largest.
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

impl Leaf for Time {
    fn type_ref(registry: &mut Registry) -> String {
        <super::scalar::DateTime as InputType>::create_type_info(registry)
    }
    fn write(&self, json: &mut Vec<u8>) {
        json.push(b'"');
        json.extend_from_slice(self.rfc3339().as_bytes());
        json.push(b'"');
    }
}

/// JSON as it is stored.
impl Leaf for Box<RawValue> {
    fn type_ref(registry: &mut Registry) -> String {
        <super::scalar::Json as InputType>::create_type_info(registry)
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
