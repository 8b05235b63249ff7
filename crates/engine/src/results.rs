//! The results of one field for all parents of a level, completed into JSON.
use std::any::TypeId;

use futures_util::future::BoxFuture;
use gatherum_document::apollo_compiler::executable::SelectionSet;
use serde_json::value::RawValue;

use crate::{
    error::Result,
    execute::{ExecutionField, ResultIndex, SelectionView},
    id::GlobalId,
    leaf::Leaf,
    object::{Object, SchemaBuilder},
    projection::Projection,
};

/// JSON of many values, one after the other.
#[derive(Debug, Default)]
pub struct FieldResults {
    pub(crate) json: Vec<u8>,
    pub(crate) spans: Vec<Slot>,
}

/// The position of one value in the JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// From here to there.
    At(usize, usize),
    /// It is null.
    Null,
    /// The value failed and must not be null, so the surrounding object or list becomes null. The error is recorded.
    Failed,
}

/// A type of field values: leaves, objects, and lists and options of them.
pub trait Output: Sized + Send + 'static {
    /// Whether the schema allows null.
    const NULLABLE: bool;

    /// How many lists are inside each other.
    const LISTS: usize = 0;

    /// The type in the schema, declared with all that it leads to.
    fn type_ref(schema: &mut SchemaBuilder<'_>) -> String;

    /// The columns that the selection needs of the rows that objects are made from; none for leaves.
    fn columns(_below: SelectionView<'_>, _selection: &SelectionSet) -> Projection {
        Projection::NONE
    }

    /// The types of the objects that the values are or contain; none for leaves.
    fn objects() -> Vec<TypeId> {
        Vec::new()
    }

    /// The values as JSON. `origins` says to which parent, and which place in a list, each belongs.
    fn complete<'a>(
        values: Vec<Self>,
        origins: Vec<ResultIndex>,
        node: ExecutionField<'a>,
    ) -> BoxFuture<'a, FieldResults>;
}

impl FieldResults {
    pub(crate) fn with_capacity(values: usize) -> Self {
        Self { json: Vec::new(), spans: Vec::with_capacity(values) }
    }

    /// The results of leaves.
    pub fn of_leaves<L: Leaf>(values: &[L]) -> Self {
        let mut column = Self::with_capacity(values.len());
        for value in values {
            column.write(|json| value.write(json));
        }
        column
    }

    /// Appends what `write` writes as one value.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.json.len();
        write(&mut self.json);
        self.spans.push(Slot::At(start, self.json.len()));
    }

    pub(crate) fn get(&self, index: usize) -> SlotValue<'_> {
        match self.spans.get(index) {
            Some(Slot::At(start, end)) => SlotValue::Json(&self.json[*start..*end]),
            Some(Slot::Null) => SlotValue::Json(b"null"),
            Some(Slot::Failed) | None => SlotValue::Failed,
        }
    }

    /// Bytes that the value takes in [`FieldResults::json`].
    pub(crate) fn length(&self, index: usize) -> usize {
        if let Some(Slot::At(start, end)) = self.spans.get(index) { end - start } else { 0 }
    }

    /// Replaces failed values by null.
    fn nullable(mut self) -> Self {
        for span in &mut self.spans {
            if *span == Slot::Failed {
                *span = Slot::Null;
            }
        }
        self
    }
}

/// One value of a column.
pub(crate) enum SlotValue<'a> {
    Json(&'a [u8]),
    Failed,
}

/// Implements [`Output`](crate::Output) for scalars and enums that implement [`Leaf`](crate::Leaf).
#[macro_export]
macro_rules! leaf_outputs {
    ($($type:ty),* $(,)?) => {$(
        impl $crate::Output for $type {
            const NULLABLE: bool = false;
            fn type_ref(schema: &mut $crate::object::SchemaBuilder<'_>) -> String {
                <Self as $crate::Leaf>::type_ref(schema.registry())
            }
            fn complete<'a>(
                values: Vec<Self>,
                _indexes: Vec<$crate::ResultIndex>,
                _field: $crate::ExecutionField<'a>,
            ) -> $crate::futures_util::future::BoxFuture<'a, $crate::FieldResults> {
                Box::pin(std::future::ready($crate::FieldResults::of_leaves(&values)))
            }
        }
    )*};
}
leaf_outputs!(bool, i64, String, GlobalId, Box<RawValue>);

impl<T: Object> Output for T {
    const NULLABLE: bool = false;

    fn type_ref(schema: &mut SchemaBuilder<'_>) -> String {
        schema.object::<T>()
    }

    fn columns(below: SelectionView<'_>, selection: &SelectionSet) -> Projection {
        below.columns::<T>(selection)
    }

    fn objects() -> Vec<TypeId> {
        vec![TypeId::of::<T>()]
    }

    fn complete<'a>(
        values: Vec<Self>,
        origins: Vec<ResultIndex>,
        node: ExecutionField<'a>,
    ) -> BoxFuture<'a, FieldResults> {
        Box::pin(async move { node.objects(&values, origins).await })
    }
}

impl<T: Output> Output for Option<T> {
    const NULLABLE: bool = true;
    const LISTS: usize = T::LISTS;

    fn type_ref(schema: &mut SchemaBuilder<'_>) -> String {
        T::type_ref(schema).trim_end_matches('!').to_owned()
    }

    fn columns(below: SelectionView<'_>, selection: &SelectionSet) -> Projection {
        T::columns(below, selection)
    }

    fn objects() -> Vec<TypeId> {
        T::objects()
    }

    fn complete<'a>(
        values: Vec<Self>,
        origins: Vec<ResultIndex>,
        node: ExecutionField<'a>,
    ) -> BoxFuture<'a, FieldResults> {
        let is_there: Vec<bool> = values.iter().map(Option::is_some).collect();
        let origins =
            origins.into_iter().zip(&is_there).filter_map(|(origin, there)| there.then_some(origin)).collect();
        Box::pin(async move {
            let column = T::complete(values.into_iter().flatten().collect(), origins, node).await.nullable();
            let mut spans = column.spans.into_iter();
            let spans = is_there
                .into_iter()
                .map(|there| if there { spans.next().unwrap_or(Slot::Null) } else { Slot::Null })
                .collect();
            FieldResults { json: column.json, spans }
        })
    }
}

impl<T: Output> Output for Vec<T> {
    const NULLABLE: bool = false;
    const LISTS: usize = T::LISTS + 1;

    fn type_ref(schema: &mut SchemaBuilder<'_>) -> String {
        format!("[{}]!", T::type_ref(schema))
    }

    fn columns(below: SelectionView<'_>, selection: &SelectionSet) -> Projection {
        T::columns(below, selection)
    }

    fn objects() -> Vec<TypeId> {
        T::objects()
    }

    fn complete<'a>(
        values: Vec<Self>,
        origins: Vec<ResultIndex>,
        node: ExecutionField<'a>,
    ) -> BoxFuture<'a, FieldResults> {
        let lengths: Vec<usize> = values.iter().map(Vec::len).collect();
        let items: Vec<T> = values.into_iter().flatten().collect();
        let item_origins = origins
            .iter()
            .zip(&lengths)
            .flat_map(|(origin, length)| (0..*length).map(|item| origin.item(item)))
            .collect();
        Box::pin(async move {
            let items = T::complete(items, item_origins, node).await;
            lists(&items, &lengths)
        })
    }
}

/// A value that may have failed on its own, while others of its column did not.
impl<T: Output> Output for Result<T> {
    const NULLABLE: bool = T::NULLABLE;
    const LISTS: usize = T::LISTS;

    fn type_ref(schema: &mut SchemaBuilder<'_>) -> String {
        T::type_ref(schema)
    }

    fn columns(below: SelectionView<'_>, selection: &SelectionSet) -> Projection {
        T::columns(below, selection)
    }

    fn objects() -> Vec<TypeId> {
        T::objects()
    }

    fn complete<'a>(
        values: Vec<Self>,
        origins: Vec<ResultIndex>,
        node: ExecutionField<'a>,
    ) -> BoxFuture<'a, FieldResults> {
        let mut good = Vec::with_capacity(values.len());
        let mut good_origins = Vec::with_capacity(values.len());
        let mut is_good = Vec::with_capacity(values.len());
        for (value, origin) in values.into_iter().zip(origins) {
            is_good.push(value.is_ok());
            match value {
                Ok(value) => {
                    good.push(value);
                    good_origins.push(origin);
                }
                Err(error) => node.record(origin, &error),
            }
        }
        Box::pin(async move {
            let column = T::complete(good, good_origins, node).await;
            let failed = node.failed(T::NULLABLE);
            let mut spans = column.spans.into_iter();
            let spans =
                is_good.into_iter().map(|good| if good { spans.next().unwrap_or(failed) } else { failed }).collect();
            FieldResults { json: column.json, spans }
        })
    }
}

/// Lists of consecutive items. A list with an item that failed has failed.
fn lists(items: &FieldResults, lengths: &[usize]) -> FieldResults {
    let mut column = FieldResults::with_capacity(lengths.len());
    column.json.reserve(items.json.len() + items.spans.len() + 2 * lengths.len());
    let mut next = 0;
    for length in lengths {
        let range = next..next + length;
        next = range.end;
        if items.spans[range.clone()].contains(&Slot::Failed) {
            column.spans.push(Slot::Failed);
            continue;
        }
        column.write(|json| {
            json.push(b'[');
            for (place, item) in range.enumerate() {
                if place > 0 {
                    json.push(b',');
                }
                if let SlotValue::Json(bytes) = items.get(item) {
                    json.extend_from_slice(bytes);
                }
            }
            json.push(b']');
        });
    }
    column
}

/// Objects of several types as one column, each at its place.
#[derive(Debug)]
pub struct MixedResults {
    column: FieldResults,
}

impl MixedResults {
    /// A column of `count` places.
    pub fn new(count: usize) -> Self {
        Self { column: FieldResults { json: Vec::new(), spans: vec![Slot::Failed; count] } }
    }

    /// Puts the values of one type at their places.
    pub fn put(&mut self, places: &[usize], values: FieldResults) {
        let offset = self.column.json.len();
        self.column.json.extend_from_slice(&values.json);
        for (place, span) in places.iter().zip(values.spans) {
            self.column.spans[*place] = match span {
                Slot::At(start, end) => Slot::At(start + offset, end + offset),
                other => other,
            };
        }
    }

    /// The column.
    pub fn finish(self) -> FieldResults {
        self.column
    }
}

/// An interface or a union: an enum with one variant for each of its objects.
#[macro_export]
macro_rules! abstract_output {
    ($(#[$meta:meta])* $vis:vis enum $name:ident as $schema_name:literal by $declare:path { $($variant:ident($object:ty)),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone)]
        $vis enum $name {
            $(
                #[doc = concat!("An object of this type: `", stringify!($object), "`.")]
                $variant($object),
            )*
        }

        impl $crate::Output for $name {
            const NULLABLE: bool = false;

            fn type_ref(schema: &mut $crate::object::SchemaBuilder<'_>) -> String {
                if schema.begin_abstract($schema_name) {
                    $declare(schema);
                    $(schema.object::<$object>();)*
                }
                concat!($schema_name, "!").to_owned()
            }

            fn columns(
                below: $crate::SelectionView<'_>,
                selection: &$crate::SelectionSet,
            ) -> $crate::Projection {
                let of_types = [$(<$object as $crate::Output>::columns(below, selection)),*];
                of_types.into_iter().fold($crate::Projection::NONE, $crate::Projection::union)
            }

            fn objects() -> Vec<std::any::TypeId> {
                [$(<$object as $crate::Output>::objects()),*].concat()
            }

            #[allow(non_snake_case)]
            fn complete<'a>(
                values: Vec<Self>,
                origins: Vec<$crate::ResultIndex>,
                node: $crate::ExecutionField<'a>,
            ) -> $crate::futures_util::future::BoxFuture<'a, $crate::FieldResults> {
                $(let mut $variant: (Vec<usize>, Vec<$object>, Vec<$crate::ResultIndex>) = Default::default();)*
                let count = values.len();
                for (place, (value, origin)) in values.into_iter().zip(origins).enumerate() {
                    match value {
                        $(Self::$variant(object) => {
                            $variant.0.push(place);
                            $variant.1.push(object);
                            $variant.2.push(origin);
                        })*
                    }
                }
                Box::pin(async move {
                    $(let $variant = ($variant.0, <$object as $crate::Output>::complete($variant.1, $variant.2, node));)*
                    let columns = $crate::futures_util::future::join_all([$($variant.1),*]).await;
                    let mut mixed = $crate::MixedResults::new(count);
                    for (places, column) in [$($variant.0),*].iter().zip(columns) {
                        mixed.put(places, column);
                    }
                    mixed.finish()
                })
            }
        }
    };
}
