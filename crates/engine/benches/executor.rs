//! This engine and async-graphql's own executor, with the same data, batch sizes and queries.
//!
//! ```sh
//! cargo bench -p gatherum-engine
//! ```
//!
//! Both executors take turns within one run, so that the load of the machine concerns both. The printed ratio is the
//! median of the ratios of pairs; times of different runs do not compare. A program of its own needs no statistics
//! crate, and the usual ones do not measure pairs.
use std::{
    collections::HashMap,
    hint::black_box,
    time::{Duration, Instant},
};

use gatherum_engine::async_graphql::Variables;
use serde_json::Value;

/// Pairs of runs per query.
const PAIRS: usize = 300;

/// Collections that have artifacts, and artifacts that have collections and tags.
const COLLECTIONS: i64 = 50;
const ARTIFACTS: i64 = 200;
const ARTIFACTS_PER_COLLECTION: i64 = 20;
const COLLECTIONS_PER_ARTIFACT: i64 = 3;
const TAGS_PER_ARTIFACT: i64 = 4;

/// Fifty objects, a list of each, and a count of each item of the lists.
const Q1: &str = "{ collections { id name artifactCount artifacts { id name collectionCount } } }";

/// Four levels.
const Q4: &str = "{ collections { name artifacts { name collections { name artifacts { name } } tags { slug } } } }";

/// Ids of the artifacts of a collection.
fn artifacts_of(collection: i64) -> Vec<i64> {
    (0..ARTIFACTS_PER_COLLECTION).map(|n| (collection * 7 + n) % ARTIFACTS).collect()
}

/// Ids of the collections of an artifact.
fn collections_of(artifact: i64) -> Vec<i64> {
    (0..COLLECTIONS_PER_ARTIFACT).map(|n| (artifact * 3 + n) % COLLECTIONS).collect()
}

/// Ids of the tags of an artifact.
fn tags_of(artifact: i64) -> Vec<i64> {
    (0..TAGS_PER_ARTIFACT).map(|n| (artifact + n) % 10).collect()
}

/// The value of each key.
fn each<V>(keys: &[i64], value: impl Fn(i64) -> V) -> HashMap<i64, V> {
    keys.iter().map(|key| (*key, value(*key))).collect()
}

/// This engine.
mod ours {
    use std::collections::HashMap;

    use gatherum_engine::{
        BatchFn, Context, Engine, PageSizes, Result,
        async_graphql::Variables,
        batch_loader,
        cost::Limits,
        fields,
        loading::LoadLimits,
        object::{EmptyRoot, NoArguments, Object, ObjectBuilder},
    };

    use super::{COLLECTIONS, artifacts_of, collections_of, each, tags_of};

    #[derive(Clone, Copy)]
    pub struct Query;
    #[derive(Clone, Copy)]
    struct Collection(i64);
    #[derive(Clone, Copy)]
    struct Artifact(i64);
    #[derive(Clone, Copy)]
    struct Tag(i64);

    /// A batch function that computes each value.
    struct Each<V>(fn(i64) -> V);

    impl<V> BatchFn<i64, Result<V>> for Each<V> {
        async fn load(&mut self, keys: &[i64]) -> HashMap<i64, Result<V>> {
            each(keys, |key| Ok((self.0)(key)))
        }
    }

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct ArtifactsOfCollection;
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct ArtifactCount;
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct CollectionsOfArtifact;
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct CollectionCount;
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct TagsOfArtifact;

    batch_loader! {
        ArtifactsOfCollection: i64 => Vec<i64>, name: "Collection.artifacts", batch: |_loader, _request| Each(artifacts_of)
    }
    batch_loader! {
        ArtifactCount: i64 => i64, name: "Collection.artifactCount",
        batch: |_loader, _request| Each(|key| artifacts_of(key).len() as i64)
    }
    batch_loader! {
        CollectionsOfArtifact: i64 => Vec<i64>, name: "Artifact.collections", batch: |_loader, _request| Each(collections_of)
    }
    batch_loader! {
        CollectionCount: i64 => i64, name: "Artifact.collectionCount",
        batch: |_loader, _request| Each(|key| collections_of(key).len() as i64)
    }
    batch_loader! {
        TagsOfArtifact: i64 => Vec<i64>, name: "Artifact.tags", batch: |_loader, _request| Each(tags_of)
    }

    fn objects<T>(object: fn(i64) -> T) -> impl Fn(Vec<i64>) -> Vec<T> + Copy {
        move |ids| ids.into_iter().map(object).collect()
    }

    impl Object for Query {
        const NAME: &'static str = "Query";

        fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
            fields! { fields;
                type;
                collections => compute::<NoArguments, _>(|_, _, _| Ok((0..COLLECTIONS).map(Collection).collect::<Vec<_>>()));
            }
        }
    }

    impl Object for Collection {
        const NAME: &'static str = "Collection";

        fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
            fields! { fields;
                type;
                id => value(|collection: &Collection| collection.0);
                name => value(|collection: &Collection| format!("collection {}", collection.0));
                artifactCount => load::<NoArguments, _, _>(|of| of.0, |_, _, _| Ok(ArtifactCount), |count| count);
                artifacts => load::<NoArguments, _, _>(|of| of.0, |_, _, _| Ok(ArtifactsOfCollection), objects(Artifact));
            }
        }
    }

    impl Object for Artifact {
        const NAME: &'static str = "Artifact";

        fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
            fields! { fields;
                type;
                id => value(|artifact: &Artifact| artifact.0);
                name => value(|artifact: &Artifact| format!("artifact {}", artifact.0));
                collectionCount => load::<NoArguments, _, _>(|of| of.0, |_, _, _| Ok(CollectionCount), |count| count);
                collections => load::<NoArguments, _, _>(|of| of.0, |_, _, _| Ok(CollectionsOfArtifact), objects(Collection));
                tags => load::<NoArguments, _, _>(|of| of.0, |_, _, _| Ok(TagsOfArtifact), objects(Tag));
            }
        }
    }

    impl Object for Tag {
        const NAME: &'static str = "Tag";

        fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
            fields! { fields;
                type;
                slug => value(|tag: &Tag| format!("tag-{}", tag.0));
            }
        }
    }

    pub fn engine() -> Engine<Query> {
        let limits = Limits { objects: u64::MAX, ..Limits::default() };
        Engine::new(Query, EmptyRoot, limits).expect("a valid schema")
    }

    /// Executes a query and returns its data as JSON.
    pub async fn execute(engine: &Engine<Query>, query: &str, variables: &Variables) -> Vec<u8> {
        let context = Context::new((), (), LoadLimits::default(), PageSizes { default: 50, max: 100 });
        let prepared = engine.prepare(query, None, variables, |_kind| Ok(())).expect("a valid query");
        engine.execute(&prepared, &context).await.data.expect("data")
    }
}

/// async-graphql's executor with its data loader.
mod theirs {
    use std::collections::HashMap;

    use async_graphql::{
        Context, EmptyMutation, EmptySubscription, Object, Request, Result, Schema,
        dataloader::{DataLoader, HashMapCache, Loader},
    };

    use super::{COLLECTIONS, artifacts_of, collections_of, each, tags_of};

    pub struct Query;
    struct Collection(i64);
    struct Artifact(i64);
    struct Tag(i64);

    struct ArtifactsOfCollection;
    struct ArtifactCount;
    struct CollectionsOfArtifact;
    struct CollectionCount;
    struct TagsOfArtifact;

    /// Implements a loader that computes each value.
    macro_rules! loaders {
        ($($loader:ident => $value:ty, $of:expr;)*) => {$(
            impl Loader<i64> for $loader {
                type Value = $value;
                type Error = std::convert::Infallible;

                async fn load(&self, keys: &[i64]) -> std::result::Result<HashMap<i64, $value>, Self::Error> {
                    Ok(each(keys, $of))
                }
            }
        )*};
    }
    loaders! {
        ArtifactsOfCollection => Vec<i64>, artifacts_of;
        ArtifactCount => i64, |key| artifacts_of(key).len() as i64;
        CollectionsOfArtifact => Vec<i64>, collections_of;
        CollectionCount => i64, |key| collections_of(key).len() as i64;
        TagsOfArtifact => Vec<i64>, tags_of;
    }

    async fn load<L: Loader<i64>>(ctx: &Context<'_>, key: i64) -> Result<L::Value>
    where
        L::Error: std::fmt::Display,
    {
        let loader = ctx.data::<DataLoader<L, HashMapCache>>()?;
        Ok(loader.load_one(key).await.map_err(|error| error.to_string())?.expect("each key has a value"))
    }

    #[Object]
    impl Query {
        async fn collections(&self) -> Vec<Collection> {
            (0..COLLECTIONS).map(Collection).collect()
        }
    }

    #[Object]
    impl Collection {
        async fn id(&self) -> i64 {
            self.0
        }
        async fn name(&self) -> String {
            format!("collection {}", self.0)
        }
        async fn artifact_count(&self, ctx: &Context<'_>) -> Result<i64> {
            load::<ArtifactCount>(ctx, self.0).await
        }
        async fn artifacts(&self, ctx: &Context<'_>) -> Result<Vec<Artifact>> {
            Ok(load::<ArtifactsOfCollection>(ctx, self.0).await?.into_iter().map(Artifact).collect())
        }
    }

    #[Object]
    impl Artifact {
        async fn id(&self) -> i64 {
            self.0
        }
        async fn name(&self) -> String {
            format!("artifact {}", self.0)
        }
        async fn collection_count(&self, ctx: &Context<'_>) -> Result<i64> {
            load::<CollectionCount>(ctx, self.0).await
        }
        async fn collections(&self, ctx: &Context<'_>) -> Result<Vec<Collection>> {
            Ok(load::<CollectionsOfArtifact>(ctx, self.0).await?.into_iter().map(Collection).collect())
        }
        async fn tags(&self, ctx: &Context<'_>) -> Result<Vec<Tag>> {
            Ok(load::<TagsOfArtifact>(ctx, self.0).await?.into_iter().map(Tag).collect())
        }
    }

    #[Object]
    impl Tag {
        async fn slug(&self) -> String {
            format!("tag-{}", self.0)
        }
    }

    pub type Upstream = Schema<Query, EmptyMutation, EmptySubscription>;

    pub fn schema() -> Upstream {
        Schema::new(Query, EmptyMutation, EmptySubscription)
    }

    /// A loader with a cache, as requests of async-graphql have one. Without a delay it dispatches as early as it can.
    fn loader<L: Loader<i64>>(loader: L) -> DataLoader<L, HashMapCache> {
        DataLoader::with_cache(loader, tokio::spawn, HashMapCache::default()).delay(std::time::Duration::ZERO)
    }

    /// Executes a query and returns its data as JSON.
    pub async fn execute(schema: &Upstream, query: &str) -> Vec<u8> {
        let request = Request::new(query)
            .data(loader(ArtifactsOfCollection))
            .data(loader(ArtifactCount))
            .data(loader(CollectionsOfArtifact))
            .data(loader(CollectionCount))
            .data(loader(TagsOfArtifact));
        let response = schema.execute(request).await;
        assert!(response.errors.is_empty(), "{:?}", response.errors);
        serde_json::to_vec(&response.data).expect("JSON")
    }
}

/// The result of `work`, and how long it took.
async fn timed(work: impl Future<Output = Vec<u8>>) -> (Vec<u8>, Duration) {
    let start = Instant::now();
    let response = black_box(work.await);
    (response, start.elapsed())
}

fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("comparable values"));
    values[values.len() / 2]
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (engine, schema, variables) = (ours::engine(), theirs::schema(), Variables::default());
    for (name, query) in [("Q1", Q1), ("Q4", Q4)] {
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _pair in 0..PAIRS {
            let (our_json, our_time) = timed(ours::execute(&engine, query, &variables)).await;
            let (their_json, their_time) = timed(theirs::execute(&schema, query)).await;
            if ours.is_empty() {
                let parse = |json: &[u8]| serde_json::from_slice::<Value>(json).expect("JSON");
                assert_eq!(parse(&our_json), parse(&their_json), "both executors return the same data");
            }
            ours.push(our_time);
            theirs.push(their_time);
            ratios.push(their_time.as_secs_f64() / our_time.as_secs_f64());
        }
        println!(
            "{name}: async-graphql takes {:.1} times as long ({:?} to {:?}, medians of {PAIRS} pairs)",
            median(ratios),
            median(theirs),
            median(ours),
        );
    }
}
