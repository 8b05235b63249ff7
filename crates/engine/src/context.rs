//! The context of one request.
use std::any::Any;

use crate::loading::{LoadLimits, Rounds};

/// The context of one request: its loads, and the state that its fields share.
///
/// ```
/// use gatherum_engine::{
///     Context, Engine, PageSizes,
///     async_graphql::Variables,
///     cost::Limits,
///     fields,
///     loading::LoadLimits,
///     object::{EmptyRoot, NoArguments, Object, ObjectBuilder},
/// };
///
/// #[derive(Clone)]
/// struct Query;
///
/// impl Object for Query {
///     const NAME: &'static str = "Query";
///
///     fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
///         fields! { fields;
///             type;
///             /// A greeting for the viewer.
///             greeting => compute::<NoArguments, _>(|_, _, context| {
///                 Ok(format!("Hello {}!", context.state::<&str>()))
///             });
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let engine: Engine<Query> = Engine::new(Query, EmptyRoot, Limits::default()).unwrap();
/// let context = Context::new((), "Emma", LoadLimits::default(), PageSizes { default: 50, max: 100 });
///
/// let prepared = engine.prepare("{ greeting }", None, &Variables::default(), |_kind| Ok(())).unwrap();
/// let outcome = engine.execute(&prepared, &context).await;
///
/// assert_eq!(outcome.data.unwrap(), br#"{"greeting":"Hello Emma!"}"#);
/// # }
/// ```
pub struct Context {
    /// The request's loads.
    pub rounds: Rounds,
    /// Page sizes of connections.
    pub pages: PageSizes,
    /// The effect of an error on the rest of the response.
    pub on_error: ErrorBehavior,
    state: Box<dyn Any + Send + Sync>,
}

impl Context {
    /// A context whose batch functions read from `source` and whose fields share `state`.
    pub fn new<D, S>(source: D, state: S, limits: LoadLimits, pages: PageSizes) -> Self
    where
        D: Any + Send + Sync,
        S: Any + Send + Sync,
    {
        Self {
            rounds: Rounds::new(Box::new(source), limits),
            pages,
            on_error: ErrorBehavior::default(),
            state: Box::new(state),
        }
    }

    /// The context with another behaviour on errors.
    #[must_use]
    pub fn with_on_error(self, on_error: ErrorBehavior) -> Self {
        Self { on_error, ..self }
    }

    /// The state that the request was started with.
    ///
    /// # Panics
    /// The state is of another type.
    pub fn state<S: Any>(&self) -> &S {
        self.state.downcast_ref().expect("the state has the type that the program gave it")
    }
}

/// The effect of an error on the rest of the response: the request parameter `onError` that is proposed for the GraphQL
/// specification (pull request 1236).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorBehavior {
    /// The error nulls the nearest position above that may be null.
    #[default]
    Propagate,
    /// The position of the error is null, even if its type is not nullable.
    Null,
    /// The execution ends with the first error, and `data` is null.
    Halt,
}

/// How many edges a page of a connection has.
#[derive(Clone, Copy, Debug)]
pub struct PageSizes {
    /// Edges of a page if neither `first` nor `last` is given.
    pub default: u32,
    /// The maximum number of edges of a page.
    pub max: u32,
}
