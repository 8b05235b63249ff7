//! The declared types as async-graphql's registry knows them: for parsing, validation, introspection and SDL.
use std::{marker::PhantomData, pin::Pin};

use async_graphql::{
    ContainerType, ObjectType, OutputType, Positioned, SDLExportOptions, Schema,
    SchemaBuilder as UpstreamSchemaBuilder, ServerResult, SubscriptionType, Value,
    parser::types::Field,
    registry::{MetaType, Registry},
};
use futures_util::Stream;

use crate::{
    error::{Error, Result},
    object::{Object, SchemaBuilder},
};

/// async-graphql's own schema of what is declared below the roots.
pub(crate) fn upstream_schema<Q: Object, M: Object, S: Object>()
-> UpstreamSchemaBuilder<UpstreamRoot<Q>, UpstreamRoot<M>, UpstreamRoot<S>> {
    Schema::build(UpstreamRoot::<Q>(PhantomData), UpstreamRoot::<M>(PhantomData), UpstreamRoot::<S>(PhantomData))
}

/// The schema in the schema definition language.
pub fn sdl<Q: Object, M: Object, S: Object>() -> String {
    upstream_schema::<Q, M, S>().finish().sdl_with_options(SDLExportOptions::new().include_specified_by())
}

/// The answer to the standard introspection query.
///
/// # Errors
/// The answer cannot be written.
pub fn introspection_json<Q: Object, M: Object, S: Object>() -> Result<String> {
    let schema = gatherum_document::Schema::parse(&sdl::<Q, M, S>()).map_err(Error::internal)?;
    let limits = gatherum_document::Limits::default();
    let document = schema.check(include_str!("introspection.graphql"), &limits, &Default::default());
    let document = document.map_err(Error::internal)?;
    let operation = document.operation(None).map_err(Error::internal)?;
    let data = schema.introspect(&document, operation, &Default::default());
    let mut text = serde_json::to_string_pretty(&serde_json::json!({ "data": data })).map_err(Error::internal)?;
    text.push('\n');
    Ok(text)
}

/// The root of the schema as async-graphql knows it: types for parsing, validation and introspection. Its fields are
/// resolved by [`crate::execute`], so none of them has a resolver here.
pub(crate) struct UpstreamRoot<Q>(PhantomData<fn() -> Q>);

impl<Q: Object> ContainerType for UpstreamRoot<Q> {
    fn is_empty() -> bool {
        Q::IS_EMPTY
    }

    async fn resolve_field(&self, _ctx: &async_graphql::Context<'_>) -> ServerResult<Option<Value>> {
        Ok(None)
    }
}

impl<Q: Object> OutputType for UpstreamRoot<Q> {
    fn type_name() -> std::borrow::Cow<'static, str> {
        Q::name().into()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        SchemaBuilder::new(registry).object::<Q>()
    }

    async fn resolve(
        &self,
        _ctx: &async_graphql::ContextSelectionSet<'_>,
        _field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        Ok(Value::Null)
    }
}

impl<Q: Object> ObjectType for UpstreamRoot<Q> {}

impl<S: Object> SubscriptionType for UpstreamRoot<S> {
    fn type_name() -> std::borrow::Cow<'static, str> {
        S::name().into()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        let type_ref = SchemaBuilder::new(registry).object::<S>();
        if let Some(MetaType::Object { is_subscription, .. }) = registry.types.get_mut(&S::name()) {
            *is_subscription = true;
        }
        type_ref
    }

    fn is_empty() -> bool {
        S::IS_EMPTY
    }

    fn create_field_stream<'a>(
        &'a self,
        _ctx: &'a async_graphql::Context<'_>,
    ) -> Option<Pin<Box<dyn Stream<Item = async_graphql::Response> + Send + 'a>>> {
        None
    }
}
