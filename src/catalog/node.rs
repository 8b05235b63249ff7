//! Any object by its id.
use async_graphql::{ID, InputObject};
use uuid::Uuid;

use crate::{
    abstract_output,
    catalog::{
        Query,
        artifact::{self, Artifact, ArtifactById},
        collection::{self, Collection, CollectionById},
        group::{self, Group, GroupById},
        sharing::{self, LinkById, Share, ShareById, ShareLink},
        tag::{self, Tag, TagById},
        user::{self, User, UserById},
        version::{self, Version, VersionById},
    },
    error::{Error, Result},
    field,
    graphql::{
        ExecutionField, Load, Loads,
        id::{self, GlobalId},
        object::{Object, ObjectBuilder, SchemaBuilder},
    },
    loader::Loader,
};

abstract_output! {
    /// Any object with an id.
    pub enum AnyNode as "Node" by declare_interface {
        Artifact(Artifact),
        Collection(Collection),
        Group(Group),
        Tag(Tag),
        ShareLink(ShareLink),
        Share(Share),
        User(User),
        Version(Version),
    }
}

/// The prefixes of all ids.
const PREFIXES: [&str; 8] = [
    artifact::PREFIX,
    collection::PREFIX,
    group::PREFIX,
    tag::PREFIX,
    user::PREFIX,
    version::PREFIX,
    sharing::LINK_PREFIX,
    sharing::PREFIX,
];

/// The global id of an object with a stored prefix.
pub fn global_id(prefix: &str, id: Uuid) -> GlobalId {
    let known = PREFIXES.into_iter().find(|known| *known == prefix);
    GlobalId { prefix: known.unwrap_or("unknown"), id }
}

fn declare_interface(schema: &mut SchemaBuilder<'_>) {
    let id = field!("id", "Globally unique, opaque and stable identifier.");
    schema.interface("Node", &["An object with an ID, which `Query.node` reads."], &[(id, "ID!")]);
}

/// Declares the root fields that read any object.
pub fn declare_root(fields: &mut ObjectBuilder<'_, '_, Query>) {
    fields.batch::<NodeArguments, _>(
        field!("node", "The object with this ID; null if there is none."),
        Loads::by(|args: &NodeArguments, _| planned(std::slice::from_ref(&args.id))),
        |parents, args, field| Box::pin(load_one(parents.len(), args, field)),
    );
    fields.batch::<NodesArguments, _>(
        field!(
            "nodes",
            "The objects with these IDs, in their order; null for an ID without an object. An invalid ID is an error only \
             for its own index."
        ),
        Loads::by(|args: &NodesArguments, _| planned(&args.ids)),
        |parents, args, field| Box::pin(load_many(parents.len(), args, field)),
    );
}

/// The loads of the objects with these IDs: one for each type.
fn planned(ids: &[ID]) -> Vec<Load> {
    let prefixes: Vec<_> = ids.iter().filter_map(|id| Some(id::parse_any(&PREFIXES, id).ok()?.prefix)).collect();
    let count = |prefix| prefixes.iter().filter(|known| **known == prefix).count();
    vec![
        planned_type(ArtifactById, count(artifact::PREFIX)),
        planned_type(CollectionById, count(collection::PREFIX)),
        planned_type(GroupById, count(group::PREFIX)),
        planned_type(TagById, count(tag::PREFIX)),
        planned_type(LinkById, count(sharing::LINK_PREFIX)),
        planned_type(ShareById, count(sharing::PREFIX)),
        planned_type(UserById, count(user::PREFIX)),
        planned_type(VersionById, count(version::PREFIX)),
    ]
}

fn planned_type<T: Object, L: Loader<Key = Uuid, Value = Option<T>>>(loader: L, keys: usize) -> Load {
    Load::of(&loader).leading_to::<T>().keys(Some(keys as u64))
}

async fn load_one(parents: usize, args: NodeArguments, field: ExecutionField<'_>) -> Result<Vec<Option<AnyNode>>> {
    let id = id::parse_any(&PREFIXES, &args.id)?;
    load(field, vec![Ok(id); parents]).await.into_iter().collect()
}

async fn load_many(
    parents: usize,
    args: NodesArguments,
    field: ExecutionField<'_>,
) -> Result<Vec<Vec<Result<Option<AnyNode>>>>> {
    let max = field.context().pages.max as usize;
    if args.ids.len() > max {
        let message = format!("`ids` has {} IDs; the maximum is {max}", args.ids.len());
        return Err(Error::bad_user_input(message));
    }
    let ids: Vec<_> = args.ids.iter().map(|id| id::parse_any(&PREFIXES, id)).collect();
    let mut lists = Vec::with_capacity(parents);
    for _ in 0..parents {
        lists.push(load(field, ids.clone()).await);
    }
    Ok(lists)
}

#[derive(InputObject)]
struct NodeArguments {
    /// ID of the object.
    id: ID,
}

#[derive(InputObject)]
struct NodesArguments {
    /// IDs of the objects, at most 100.
    ids: Vec<ID>,
}

/// The objects with these ids, in their order: one statement for each type, all in one round.
pub async fn load(node: ExecutionField<'_>, ids: Vec<Result<GlobalId>>) -> Vec<Result<Option<AnyNode>>> {
    let mut nodes: Vec<Result<Option<AnyNode>>> = Vec::new();
    nodes.extend(ids.iter().map(|id| id.clone().map(|_| None)));
    let of = |prefix: &str| -> Vec<(usize, Uuid)> {
        let all = ids.iter().enumerate();
        all.filter_map(|(index, id)| id.as_ref().ok().filter(|id| id.prefix == prefix).map(|id| (index, id.id)))
            .collect()
    };
    let found = futures_util::join!(
        load_type(node, ArtifactById, of(artifact::PREFIX), AnyNode::Artifact),
        load_type(node, CollectionById, of(collection::PREFIX), AnyNode::Collection),
        load_type(node, GroupById, of(group::PREFIX), AnyNode::Group),
        load_type(node, TagById, of(tag::PREFIX), AnyNode::Tag),
        load_type(node, LinkById, of(sharing::LINK_PREFIX), AnyNode::ShareLink),
        load_type(node, ShareById, of(sharing::PREFIX), AnyNode::Share),
        load_type(node, UserById, of(user::PREFIX), AnyNode::User),
        load_type(node, VersionById, of(version::PREFIX), AnyNode::Version),
    );
    for (index, node) in [found.0, found.1, found.2, found.3, found.4, found.5, found.6, found.7].into_iter().flatten()
    {
        nodes[index] = node;
    }
    nodes
}

async fn load_type<T, L: Loader<Key = Uuid, Value = Option<T>>>(
    node: ExecutionField<'_>,
    loader: L,
    ids: Vec<(usize, Uuid)>,
    any: fn(T) -> AnyNode,
) -> Vec<(usize, Result<Option<AnyNode>>)> {
    let keys = ids.iter().map(|(_, id)| *id).collect();
    let indexes = ids.into_iter().map(|(index, _)| index);
    match node.load::<AnyNode, L>(loader, keys).await {
        Ok(found) => indexes.zip(found.into_iter().map(|object| Ok(object.map(any)))).collect(),
        Err(error) => indexes.map(|index| (index, Err(error.clone()))).collect(),
    }
}
