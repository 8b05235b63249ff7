//! One function for each query: its statements, side by side where gatherum runs them side by side, and the answer.
use std::collections::HashMap;

use serde::Serialize;
use uuid::Uuid;

use crate::{
    Floor, Variables,
    id::{self, SortKey, TypeId},
    statements::{self, Collection, Member},
};

/// gatherum's page size where a query names none.
const PAGE_SIZE: i64 = 50;

const ARTIFACTS: &str = "Query.artifacts CREATED_AT DESC";
const COLLECTIONS_OF_ARTIFACT: &str = "Artifact.collections NAME ASC";
const ARTIFACTS_OF_COLLECTION: &str = "Collection.artifacts POSITION ASC";

/// A page as its nodes.
#[derive(Serialize)]
pub struct Nodes<T> {
    nodes: Vec<T>,
}

/// A page as its edges.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Edges<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    total_count: Option<i64>,
    page_info: PageInfo,
    edges: Vec<Edge<T>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Serialize)]
struct Edge<T> {
    cursor: String,
    node: T,
}

impl<T> Edges<T> {
    fn new(total_count: Option<i64>, has_next_page: bool, edges: Vec<Edge<T>>) -> Self {
        let end_cursor = edges.last().map(|edge| edge.cursor.clone());
        Self { total_count, page_info: PageInfo { has_next_page, end_cursor }, edges }
    }
}

/// An artifact; `collections` is a page of collections, whichever way it is written.
#[derive(Serialize)]
pub struct ArtifactNode<C> {
    id: TypeId,
    name: String,
    r#type: String,
    collections: C,
}

/// An artifact on a page of a collection.
#[derive(Serialize)]
pub struct MemberNode {
    id: TypeId,
    name: String,
    r#type: String,
}

/// An artifact of a collection with its own collections.
#[derive(Serialize)]
pub struct MemberWithCollections {
    id: TypeId,
    name: String,
    collections: Nodes<CollectionNode>,
}

/// A collection with its count.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectionNode {
    id: TypeId,
    name: String,
    artifact_count: i64,
}

/// A collection with two counts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribedCollection {
    id: TypeId,
    name: String,
    description: Option<String>,
    artifact_count: i64,
    group_count: i64,
}

/// A collection with its count and a page of artifacts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectionWithMembers<T> {
    id: TypeId,
    name: String,
    artifact_count: i64,
    artifacts: Nodes<T>,
}

/// A collection with a page of artifacts as edges.
#[derive(Serialize)]
pub struct CollectionWithEdges {
    id: TypeId,
    name: String,
    artifacts: Edges<MemberNode>,
}

/// The root field `artifacts`.
#[derive(Serialize)]
pub struct Artifacts<P> {
    artifacts: P,
}

/// The root field `collections`.
#[derive(Serialize)]
pub struct Collections<T> {
    collections: Nodes<T>,
}

/// The root field `collection`.
#[derive(Serialize)]
pub struct OneCollection<T> {
    collection: Option<T>,
}

/// Artifacts with their collections and the counts of those.
pub async fn q1(floor: &Floor, variables: &Variables) -> anyhow::Result<impl Serialize> {
    let first = variables.first.unwrap_or(50);
    let mut artifacts = statements::artifacts(&floor.db, first, false).await?;
    cut(&mut artifacts, first);
    let ids: Vec<Uuid> = artifacts.iter().map(|artifact| artifact.id).collect();
    let mut collections = statements::collections_of(&floor.db, &ids, PAGE_SIZE, false).await?;
    let counts = statements::member_counts(&floor.db, floor.counts, &distinct(&collections)).await?;
    let node = |artifact: statements::Artifact| ArtifactNode {
        collections: collection_nodes(collections.remove(&artifact.id).unwrap_or_default(), &counts),
        id: id::artifact(artifact.id),
        name: artifact.name,
        r#type: artifact.kind,
    };
    Ok(Artifacts { artifacts: Nodes { nodes: artifacts.into_iter().map(node).collect() } })
}

/// The same with edges, cursors, totals and page info.
pub async fn q1_edges(floor: &Floor, variables: &Variables) -> anyhow::Result<impl Serialize> {
    let first = variables.first.unwrap_or(50);
    let mut artifacts = statements::artifacts(&floor.db, first, true).await?;
    let has_more = cut(&mut artifacts, first);
    let ids: Vec<Uuid> = artifacts.iter().map(|artifact| artifact.id).collect();
    let (mut collections, totals) = tokio::try_join!(
        statements::collections_of(&floor.db, &ids, PAGE_SIZE, true),
        statements::collection_totals(&floor.db, &ids),
    )?;
    let counts = statements::member_counts(&floor.db, floor.counts, &distinct(&collections)).await?;
    let edge = |artifact: statements::Artifact| {
        let total = totals.get(&artifact.id).copied().unwrap_or(0);
        let collections = collections.remove(&artifact.id).unwrap_or_default();
        Edge {
            cursor: id::cursor(ARTIFACTS, SortKey::Int(artifact.created_at_us), artifact.id),
            node: ArtifactNode {
                id: id::artifact(artifact.id),
                name: artifact.name,
                r#type: artifact.kind,
                collections: collection_edges(collections, total, &counts),
            },
        }
    };
    Ok(Artifacts { artifacts: Edges::new(None, has_more, artifacts.into_iter().map(edge).collect()) })
}

/// A collection with its count and its first artifacts.
pub async fn q2(floor: &Floor, variables: &Variables) -> anyhow::Result<impl Serialize> {
    let first = variables.first.unwrap_or(100);
    let (id, after) = place(variables)?;
    let Some(collection) = statements::collection(&floor.db, id).await? else {
        return Ok(OneCollection { collection: None });
    };
    let ids = [collection.id];
    let (counts, mut members) = tokio::try_join!(
        statements::member_counts(&floor.db, floor.counts, &ids),
        statements::members_of_one(&floor.db, collection.id, first, after, false),
    )?;
    cut(&mut members, first);
    let collection = CollectionWithMembers {
        id: id::collection(collection.id),
        name: collection.name,
        artifact_count: counts.get(&ids[0]).copied().unwrap_or(0),
        artifacts: Nodes { nodes: members.into_iter().map(member_node).collect() },
    };
    Ok(OneCollection { collection: Some(collection) })
}

/// A collection with a page of its artifacts as edges, the total and page info.
pub async fn q2_edges(floor: &Floor, variables: &Variables) -> anyhow::Result<impl Serialize> {
    let first = variables.first.unwrap_or(100);
    let (id, after) = place(variables)?;
    let Some(collection) = statements::collection(&floor.db, id).await? else {
        return Ok(OneCollection { collection: None });
    };
    let ids = [collection.id];
    let (totals, mut members) = tokio::try_join!(
        statements::member_totals(&floor.db, floor.counts, &ids),
        statements::members_of_one(&floor.db, collection.id, first, after, true),
    )?;
    let has_more = cut(&mut members, first);
    let total = totals.get(&collection.id).copied().unwrap_or(0);
    let edge = |member: Member| Edge {
        cursor: id::cursor(ARTIFACTS_OF_COLLECTION, SortKey::Int(member.sort_key), member.id),
        node: member_node(member),
    };
    let collection = CollectionWithEdges {
        id: id::collection(collection.id),
        name: collection.name,
        artifacts: Edges::new(Some(total), has_more, members.into_iter().map(edge).collect()),
    };
    Ok(OneCollection { collection: Some(collection) })
}

/// Collections with two counts.
pub async fn q3(floor: &Floor, variables: &Variables) -> anyhow::Result<impl Serialize> {
    let first = variables.first.unwrap_or(10);
    let mut collections = statements::collections(&floor.db, first, true).await?;
    cut(&mut collections, first);
    let ids: Vec<Uuid> = collections.iter().map(|collection| collection.id).collect();
    let (counts, groups) = tokio::try_join!(
        statements::member_counts(&floor.db, floor.counts, &ids),
        statements::group_counts(&floor.db, &ids),
    )?;
    let node = |collection: Collection| DescribedCollection {
        id: id::collection(collection.id),
        name: collection.name,
        description: collection.description,
        artifact_count: counts.get(&collection.id).copied().unwrap_or(0),
        group_count: groups.get(&collection.id).copied().unwrap_or(0),
    };
    Ok(Collections { collections: Nodes { nodes: collections.into_iter().map(node).collect() } })
}

/// Collections with their first artifacts, the collections of those, and counts.
pub async fn q4(floor: &Floor, variables: &Variables) -> anyhow::Result<impl Serialize> {
    const MEMBERS: i64 = 10;
    let first = variables.first.unwrap_or(10);
    let mut collections = statements::collections(&floor.db, first, false).await?;
    cut(&mut collections, first);
    let ids: Vec<Uuid> = collections.iter().map(|collection| collection.id).collect();
    let (outer_counts, mut members) = tokio::try_join!(
        statements::member_counts(&floor.db, floor.counts, &ids),
        statements::members_of(&floor.db, &ids, MEMBERS),
    )?;
    for page in members.values_mut() {
        cut(page, MEMBERS);
    }
    let mut artifact_ids: Vec<Uuid> = members.values().flatten().map(|member| member.id).collect();
    artifact_ids.sort_unstable();
    artifact_ids.dedup();
    let inner = statements::collections_of(&floor.db, &artifact_ids, PAGE_SIZE, false).await?;
    let inner_counts = statements::member_counts(&floor.db, floor.counts, &distinct(&inner)).await?;
    let member_node = |member: Member| MemberWithCollections {
        id: id::artifact(member.id),
        name: member.name,
        collections: Nodes {
            // An artifact can be a member of several collections of the page.
            nodes: inner.get(&member.id).map_or(Vec::new(), |collections| {
                collections.iter().map(|collection| collection_node(collection, &inner_counts)).collect()
            }),
        },
    };
    let node = |collection: Collection| CollectionWithMembers {
        artifact_count: outer_counts.get(&collection.id).copied().unwrap_or(0),
        artifacts: Nodes {
            nodes: members.remove(&collection.id).unwrap_or_default().into_iter().map(member_node).collect(),
        },
        id: id::collection(collection.id),
        name: collection.name,
    };
    Ok(Collections { collections: Nodes { nodes: collections.into_iter().map(node).collect() } })
}

fn place(variables: &Variables) -> anyhow::Result<(Uuid, statements::After)> {
    let id = id::parse("collection_", variables.id.as_deref().unwrap_or_default())?;
    let after = variables.after.as_deref().map(|after| id::parse_cursor(ARTIFACTS_OF_COLLECTION, after)).transpose()?;
    Ok((id, after))
}

/// Drops the one row more that tells whether there are more.
fn cut<T>(rows: &mut Vec<T>, first: i64) -> bool {
    let first = usize::try_from(first).unwrap_or(0);
    let has_more = rows.len() > first;
    rows.truncate(first);
    has_more
}

fn distinct(pages: &HashMap<Uuid, Vec<Collection>>) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = pages.values().flatten().map(|collection| collection.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn collection_node(collection: &Collection, counts: &HashMap<Uuid, i64>) -> CollectionNode {
    CollectionNode {
        id: id::collection(collection.id),
        name: collection.name.clone(),
        artifact_count: counts.get(&collection.id).copied().unwrap_or(0),
    }
}

fn collection_nodes(mut collections: Vec<Collection>, counts: &HashMap<Uuid, i64>) -> Nodes<CollectionNode> {
    cut(&mut collections, PAGE_SIZE);
    Nodes { nodes: collections.iter().map(|collection| collection_node(collection, counts)).collect() }
}

fn collection_edges(
    mut collections: Vec<Collection>,
    total: i64,
    counts: &HashMap<Uuid, i64>,
) -> Edges<CollectionNode> {
    let has_more = cut(&mut collections, PAGE_SIZE);
    let edge = |collection: &Collection| Edge {
        cursor: id::cursor(COLLECTIONS_OF_ARTIFACT, SortKey::Text(&collection.name), collection.id),
        node: collection_node(collection, counts),
    };
    Edges::new(Some(total), has_more, collections.iter().map(edge).collect())
}

fn member_node(member: Member) -> MemberNode {
    MemberNode { id: id::artifact(member.id), name: member.name, r#type: member.kind }
}
