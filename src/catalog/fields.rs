//! Declarations of fields that the types of the catalogue have in common.
use uuid::Uuid;

use crate::{
    error::{Code, Error, Result},
    graphql::{
        Loads, Output,
        id::GlobalId,
        object::{Arguments, FieldMeta, NoArguments, Object, ObjectBuilder},
    },
    loader::Loader,
};

/// The description of `revision`.
pub const REVISION: &str = "Revision, starting at 1 and incremented by each change. A write that expects another revision \
    is rejected as `CONFLICT`.";

/// Shorter declarations for common kinds of fields.
pub trait DeclareFields<P: Object> {
    /// The field `id`: the global id of an object.
    fn node_id(&mut self, prefix: &'static str, id: fn(&P) -> Uuid);

    /// The value of a relation, without arguments.
    fn related<L: Loader>(&mut self, meta: FieldMeta, key: impl Fn(&P) -> L::Key + Send + Sync + 'static, loader: L)
    where
        L::Value: Output;

    /// The object of a relation that always has one; `NOT_FOUND` if it was deleted between two statements.
    fn required<L: Loader<Value = Option<T>>, T>(
        &mut self,
        meta: FieldMeta,
        key: impl Fn(&P) -> L::Key + Send + Sync + 'static,
        loader: L,
    ) where
        T: Object,
        Result<T>: Output;

    /// A value that is made from the parent, without arguments.
    fn output<V: Output>(&mut self, meta: FieldMeta, value: impl Fn(&P) -> V + Send + Sync + 'static);

    /// The object with the key that the arguments have, of the root.
    fn lookup<A: Arguments, L: Loader<Value = Option<T>>, T>(
        &mut self,
        meta: FieldMeta,
        loader: L,
        key: impl Fn(A) -> Result<L::Key> + Send + Sync + 'static,
    ) where
        T: Object,
        Option<T>: Output;
}

impl<P: Object> DeclareFields<P> for ObjectBuilder<'_, '_, P> {
    fn node_id(&mut self, prefix: &'static str, id: fn(&P) -> Uuid) {
        let meta = gatherum_engine::field!("id", "Globally unique, opaque and stable identifier.");
        self.value(meta, move |object| GlobalId { prefix, id: id(object) });
    }

    fn related<L: Loader>(&mut self, meta: FieldMeta, key: impl Fn(&P) -> L::Key + Send + Sync + 'static, loader: L)
    where
        L::Value: Output,
    {
        self.relation::<L, L::Value>(meta, loader, key, |value| value);
    }

    fn required<L: Loader<Value = Option<T>>, T>(
        &mut self,
        meta: FieldMeta,
        key: impl Fn(&P) -> L::Key + Send + Sync + 'static,
        loader: L,
    ) where
        T: Object,
        Result<T>: Output,
    {
        self.relation::<L, Result<T>>(meta, loader, key, |found| found.ok_or_else(deleted::<T>));
    }

    fn output<V: Output>(&mut self, meta: FieldMeta, value: impl Fn(&P) -> V + Send + Sync + 'static) {
        self.compute::<NoArguments, V>(meta, move |parent, _, _| Ok(value(parent)));
    }

    fn lookup<A: Arguments, L: Loader<Value = Option<T>>, T>(
        &mut self,
        meta: FieldMeta,
        loader: L,
        key: impl Fn(A) -> Result<L::Key> + Send + Sync + 'static,
    ) where
        T: Object,
        Option<T>: Output,
    {
        self.batch::<A, Option<T>>(meta, Loads::of(loader.clone()), move |parents, args, node| {
            let keys = key(args).map(|key| vec![key; parents.len()]);
            let loader = loader.clone();
            Box::pin(async move { node.load::<Option<T>, L>(loader, keys?).await })
        });
    }
}

/// An object was deleted between the statement that led to it and the one that reads it.
pub fn deleted<T: Object>() -> Error {
    Error::new(Code::NotFound, format!("the {} was deleted by another request", T::NAME))
}

/// Declares the payload of a mutation: the object that was written, as it is now.
#[macro_export]
macro_rules! payload {
    ($(#[doc = $doc:literal])* $vis:vis struct $name:ident { $field:literal: $relation:expr }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
        $vis struct $name(pub uuid::Uuid);

        impl $crate::graphql::object::Object for $name {
            const NAME: &'static str = stringify!($name);

            fn declare(fields: &mut $crate::graphql::object::ObjectBuilder<'_, '_, Self>) {
                use $crate::catalog::fields::DeclareFields;
                fields.describe(&[$($doc),*]);
                let meta = gatherum_engine::field!($field, "The object after the write.");
                fields.required(meta, |payload: &Self| payload.0, $relation);
            }
        }
    };
}
