//! Executes a document literally as the specification says (September 2025, section 6), one object after the other.
use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Map, Value, json};

use super::{
    Answer,
    documents::{Argument, Document, Field, Schema, Selection, TypeRef},
};
use gatherum::graphql::ErrorBehavior;

/// The value of a field of an object.
#[derive(Clone, Debug)]
pub enum Resolved<O> {
    Null,
    Leaf(Value),
    Failed(String),
    List(Vec<Resolved<O>>),
    /// An object and the name of its type.
    Object(O, String),
}

/// The source of values.
pub trait World: Sync {
    type Object: Clone + Send + Sync;

    fn root(&self) -> Self::Object;

    /// The value of one field of one object.
    fn resolve<'a>(
        &'a self,
        object: &'a Self::Object,
        type_name: &'a str,
        field: &'a str,
        arguments: &'a [Argument],
    ) -> BoxFuture<'a, Resolved<Self::Object>>;
}

/// A value that could not be completed, and must not be null.
struct Failed;

struct Execution<'a, W: World> {
    world: &'a W,
    schema: &'a Schema,
    document: &'a Document,
    /// Whether an error may null positions above its own.
    propagates: bool,
    errors: std::sync::Mutex<Vec<(String, String)>>,
}

/// The response to a document.
pub async fn execute<W: World>(world: &W, schema: &Schema, document: &Document, on_error: ErrorBehavior) -> Answer {
    let propagates = on_error == ErrorBehavior::Propagate;
    let execution = Execution { world, schema, document, propagates, errors: std::sync::Mutex::default() };
    let root = world.root();
    let data = execution.selection_set(&root, "Query", vec![&document.selection], &[]).await;
    let data = data.unwrap_or(Value::Null);
    Answer::new(&data, execution.errors.into_inner().expect("no panic"))
}

impl<'a, W: World> Execution<'a, W> {
    /// Section 6.3: every field of the set, in its order.
    fn selection_set<'s>(
        &'s self,
        object: &'s W::Object,
        type_name: &'s str,
        sets: Vec<&'s [Selection]>,
        path: &'s [Value],
    ) -> BoxFuture<'s, Result<Value, Failed>> {
        async move {
            let mut fields: Vec<(String, Vec<&Field>)> = Vec::new();
            let mut visited = Vec::new();
            for set in sets {
                self.collect(type_name, set, &mut visited, &mut fields);
            }
            let mut members = Map::new();
            let mut has_failed = false;
            for (key, fields) in &fields {
                let path: Vec<Value> = path.iter().cloned().chain([json!(key)]).collect();
                match self.field(object, type_name, fields, &path).await {
                    Ok(value) => drop(members.insert(key.clone(), value)),
                    Err(Failed) => has_failed = true,
                }
            }
            if has_failed { Err(Failed) } else { Ok(Value::Object(members)) }
        }
        .boxed()
    }

    /// Section 6.3.2.
    fn collect<'s>(
        &'s self,
        type_name: &str,
        set: &'s [Selection],
        visited: &mut Vec<&'s str>,
        fields: &mut Vec<(String, Vec<&'s Field>)>,
    ) {
        for selection in set {
            if !selection.directives().iter().all(|directive| directive.lets_through()) {
                continue;
            }
            match selection {
                Selection::Field(field) => match fields.iter_mut().find(|(key, _)| key == field.key()) {
                    Some((_, group)) => group.push(field),
                    None => fields.push((field.key().to_owned(), vec![field])),
                },
                Selection::Inline { condition, selection, .. } => {
                    if condition.as_ref().is_none_or(|condition| self.schema.is_a(type_name, condition)) {
                        self.collect(type_name, selection, visited, fields);
                    }
                }
                Selection::Spread { name, .. } => {
                    if visited.contains(&name.as_str()) {
                        continue;
                    }
                    visited.push(name);
                    let fragment = &self.document.fragments[name];
                    if self.schema.is_a(type_name, &fragment.condition) {
                        self.collect(type_name, &fragment.selection, visited, fields);
                    }
                }
            }
        }
    }

    async fn field(
        &self,
        object: &W::Object,
        type_name: &str,
        fields: &[&Field],
        path: &[Value],
    ) -> Result<Value, Failed> {
        let field = fields[0];
        if field.name == "__typename" {
            return Ok(json!(type_name));
        }
        let declared = self.schema.field(type_name, &field.name);
        let resolved = self.world.resolve(object, type_name, &field.name, &field.arguments).await;
        self.complete(&declared.of, resolved, fields, path).await
    }

    /// Section 6.4.3, with the handling of errors of 6.4.4.
    fn complete<'s>(
        &'s self,
        of: &'s TypeRef,
        resolved: Resolved<W::Object>,
        fields: &'s [&'s Field],
        path: &'s [Value],
    ) -> BoxFuture<'s, Result<Value, Failed>> {
        async move {
            let (is_required, inner) = match of {
                TypeRef::Required(inner) => (true, &**inner),
                other => (false, other),
            };
            let completed = match resolved {
                Resolved::Failed(message) => {
                    self.errors.lock().expect("no panic").push((json!(path).to_string(), message));
                    Err(Failed)
                }
                Resolved::Null => Ok(Value::Null),
                Resolved::Leaf(value) => Ok(value),
                Resolved::List(items) => {
                    let TypeRef::List(item_type) = inner else { panic!("{of:?} is no list") };
                    let mut values = Vec::new();
                    let mut has_failed = false;
                    for (place, item) in items.into_iter().enumerate() {
                        let path: Vec<Value> = path.iter().cloned().chain([json!(place)]).collect();
                        match self.complete(item_type, item, fields, &path).await {
                            Ok(value) => values.push(value),
                            Err(Failed) => has_failed = true,
                        }
                    }
                    if has_failed { Err(Failed) } else { Ok(Value::Array(values)) }
                }
                Resolved::Object(object, type_name) => {
                    let sets = fields.iter().map(|field| field.selection.as_slice()).collect();
                    self.selection_set(&object, &type_name, sets, path).await
                }
            };
            match completed {
                Err(Failed) if !is_required || !self.propagates => Ok(Value::Null),
                completed => completed,
            }
        }
        .boxed()
    }
}
