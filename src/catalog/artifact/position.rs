//! Positions of artifacts in collections and groups.
use uuid::Uuid;

use crate::{catalog::order, db::text, relation};

/// The positions of members in their lists.
///
/// The statement counts the members between those of the keys once, each in the order of its list: a page costs as much as
/// its last position, in whatever order the page is.
macro_rules! position {
    ($(#[doc = $doc:literal])* $vis:vis $name:ident($label:literal), $list:expr) => {
        relation! {
            $(#[doc = $doc])*
            $vis $name($label): (Uuid, Uuid) => i64;
            "select s.a, s.b, cast(sum(s.since_last) over (partition by s.a order by s.sort_key, s.b) as bigint)
             from (
               select k.a, k.b, k.sort_key, (
                 select count(*) from {table} o
                 where o.{list} = k.a
                   and (o.sort_key, o.{item}) >= (k.from_key, k.from_item)
                   and (o.sort_key, o.{item}) < (k.sort_key, k.b)
               ) as since_last
               from (
                 select keys.a, keys.b, m.sort_key,
                   coalesce(lag(m.sort_key) over w, {least_key}) as from_key,
                   coalesce(lag(keys.b) over w, {least_id}) as from_item
                 from {key_table} as keys
                 join {table} m on m.{list} = keys.a and m.{item} = keys.b
                 window w as (partition by keys.a order by m.sort_key, keys.b)
               ) k
             ) s {exempt: visible with its list}",
            table = text($list.table),
            list = text($list.list),
            item = text($list.item),
            least_key = i64::MIN,
            least_id = Uuid::nil(),
        }
    };
}

position! {
    /// The position of an artifact among all artifacts of its collection.
    pub(super) PositionInCollection("CollectionArtifactEdge.position"), order::MEMBERS
}

position! {
    /// The position of an artifact among all artifacts of its group.
    pub(super) PositionInGroup("GroupArtifactEdge.position"), order::GROUP_MEMBERS
}
