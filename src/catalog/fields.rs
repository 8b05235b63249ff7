//! Declarations of fields that the types of the catalogue have in common.
use uuid::Uuid;

use crate::{
    dataloader::Relation,
    error::{Code, Error, Result},
    graphql::{
        Context, Output,
        id::GlobalId,
        object::{Arguments, FieldMeta, Fields, NoArguments, Object},
    },
};

/// The description of `revision`.
pub const REVISION: &str = "Revision, starting at 1 and incremented by each change. A write that expects another revision \
    is rejected as `CONFLICT`.";

/// Shorter declarations for common kinds of fields.
pub trait DeclareFields<P: Object> {
    /// The field `id`: the global id of an object.
    fn node_id(&mut self, prefix: &'static str, id: fn(&P) -> Uuid);

    /// The value of a relation, without arguments.
    fn related<R: Relation>(
        &mut self,
        meta: FieldMeta,
        key: impl Fn(&P) -> R::Key + Send + Sync + 'static,
        relation: R,
    ) where
        R::Value: Output;

    /// The object of a relation that always has one; `NOT_FOUND` if it was deleted between two statements.
    fn required<R: Relation<Value = Option<T>>, T>(
        &mut self,
        meta: FieldMeta,
        key: impl Fn(&P) -> R::Key + Send + Sync + 'static,
        relation: R,
    ) where
        T: Object,
        Result<T>: Output;

    /// A value that is made from the parent, without arguments.
    fn output<V: Output>(&mut self, meta: FieldMeta, value: impl Fn(&P) -> V + Send + Sync + 'static);

    /// The object with the key that the arguments have, of the root.
    fn lookup<A: Arguments, R: Relation<Value = Option<T>>, T>(
        &mut self,
        meta: FieldMeta,
        relation: R,
        key: impl Fn(A) -> Result<R::Key> + Send + Sync + 'static,
    ) where
        T: Object,
        Option<T>: Output;
}

impl<P: Object> DeclareFields<P> for Fields<'_, '_, P> {
    fn node_id(&mut self, prefix: &'static str, id: fn(&P) -> Uuid) {
        let meta = crate::field!("id", "Globally unique, opaque and stable identifier.");
        self.value(meta, move |object| GlobalId { prefix, id: id(object) });
    }

    fn related<R: Relation>(&mut self, meta: FieldMeta, key: impl Fn(&P) -> R::Key + Send + Sync + 'static, relation: R)
    where
        R::Value: Output,
    {
        let relation = move |_: &P, _: &NoArguments, _: &Context| Ok(relation.clone());
        self.load::<NoArguments, R, R::Value>(meta, key, relation, |value| value);
    }

    fn required<R: Relation<Value = Option<T>>, T>(
        &mut self,
        meta: FieldMeta,
        key: impl Fn(&P) -> R::Key + Send + Sync + 'static,
        relation: R,
    ) where
        T: Object,
        Result<T>: Output,
    {
        let relation = move |_: &P, _: &NoArguments, _: &Context| Ok(relation.clone());
        self.load::<NoArguments, R, Result<T>>(meta, key, relation, |found| found.ok_or_else(deleted::<T>));
    }

    fn output<V: Output>(&mut self, meta: FieldMeta, value: impl Fn(&P) -> V + Send + Sync + 'static) {
        self.compute::<NoArguments, V>(meta, move |parent, _, _| Ok(value(parent)));
    }

    fn lookup<A: Arguments, R: Relation<Value = Option<T>>, T>(
        &mut self,
        meta: FieldMeta,
        relation: R,
        key: impl Fn(A) -> Result<R::Key> + Send + Sync + 'static,
    ) where
        T: Object,
        Option<T>: Output,
    {
        self.batch::<A, Option<T>>(meta, move |parents, args, node| {
            let keys = key(args).map(|key| vec![key; parents.len()]);
            let relation = relation.clone();
            Box::pin(async move { node.load::<Option<T>, R>(relation, keys?).await })
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

            fn declare(fields: &mut $crate::graphql::object::Fields<'_, '_, Self>) {
                use $crate::catalog::fields::DeclareFields;
                fields.describe(&[$($doc),*]);
                let meta = $crate::field!($field, "The object after the write.");
                fields.required(meta, |payload: &Self| payload.0, $relation);
            }
        }
    };
}
