//! Every object by its id.
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
    fields,
    graphql::{
        ExecutionField,
        id::{self, GlobalId},
        object::{FieldMeta, ObjectBuilder, SchemaBuilder},
    },
    loader::Loader,
};

abstract_output! {
    /// Any object that has an id.
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

/// The id of an object whose prefix was stored.
pub fn global_id(prefix: &str, id: Uuid) -> GlobalId {
    let known = PREFIXES.into_iter().find(|known| *known == prefix);
    GlobalId { prefix: known.unwrap_or("unknown"), id }
}

fn declare_interface(schema: &mut SchemaBuilder<'_>) {
    let id = FieldMeta { name: "id", docs: &["Opaque, the same for ever, unique among all objects."] };
    schema.interface("Node", &["An object that has an id and can be read by it."], &[(id, "ID!")]);
}

/// Declares the root fields that lead to any object.
pub fn declare_root(fields: &mut ObjectBuilder<'_, '_, Query>) {
    fields! { fields;
        type;
        /// The object with this id; null where there is none.
        node => batch::<NodeArguments, _>(|parents, args, node| {
            let count = parents.len();
            Box::pin(async move {
                let id = id::parse_any(&PREFIXES, &args.id)?;
                let mut nodes = load(node, vec![Ok(id); count]).await;
                nodes.drain(..).collect::<Result<Vec<_>>>()
            })
        });
        /// The objects with these ids, in their order; null where there is none. An id that is none is an error of its
        /// own place.
        nodes => batch::<NodesArguments, _>(|parents, args, node| {
            let count = parents.len();
            Box::pin(async move {
                let max = node.context().pages.max as usize;
                if args.ids.len() > max {
                    let message = format!("`ids` has {} ids, at most {max} can be read at once", args.ids.len());
                    return Err(Error::bad_user_input(message));
                }
                let ids: Vec<_> = args.ids.iter().map(|id| id::parse_any(&PREFIXES, id)).collect();
                let mut lists = Vec::with_capacity(count);
                for _ in 0..count {
                    lists.push(load(node, ids.clone()).await);
                }
                Ok(lists)
            })
        });
    }
}

#[derive(InputObject)]
struct NodeArguments {
    /// The id, as this server gave it.
    id: ID,
}

#[derive(InputObject)]
struct NodesArguments {
    /// The ids, as this server gave them; at most 100.
    ids: Vec<ID>,
}

/// The objects of these ids, in their order: one statement for each type, all in one round.
pub async fn load(node: ExecutionField<'_>, ids: Vec<Result<GlobalId>>) -> Vec<Result<Option<AnyNode>>> {
    let mut nodes: Vec<Result<Option<AnyNode>>> = Vec::new();
    nodes.extend(ids.iter().map(|id| id.clone().map(|_| None)));
    let of = |prefix: &str| -> Vec<(usize, Uuid)> {
        let all = ids.iter().enumerate();
        all.filter_map(|(place, id)| id.as_ref().ok().filter(|id| id.prefix == prefix).map(|id| (place, id.id)))
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
    for (place, node) in [found.0, found.1, found.2, found.3, found.4, found.5, found.6, found.7].into_iter().flatten()
    {
        nodes[place] = node;
    }
    nodes
}

async fn load_type<T, L: Loader<Key = Uuid, Value = Option<T>>>(
    node: ExecutionField<'_>,
    loader: L,
    places: Vec<(usize, Uuid)>,
    any: fn(T) -> AnyNode,
) -> Vec<(usize, Result<Option<AnyNode>>)> {
    let keys = places.iter().map(|(_, id)| *id).collect();
    let places = places.into_iter().map(|(place, _)| place);
    match node.load::<AnyNode, L>(loader, keys).await {
        Ok(found) => places.zip(found.into_iter().map(|object| Ok(object.map(any)))).collect(),
        Err(error) => places.map(|place| (place, Err(error.clone()))).collect(),
    }
}
