-- The catalogue: artifacts, the collections and groups that hold them, tags and versions.
--
-- Ids are UUIDs as 16-byte blobs, times are microseconds since 1970 in UTC, sort keys are sparse so that moving a row
-- rewrites that row alone. Names of constraints are part of the interface: writes map them to errors.

create table users (
  id blob not null primary key check (length(id) = 16),
  name text not null,
  revision integer not null default 1,
  created_at integer not null,
  updated_at integer not null,
  constraint users_name_check check (length(name) between 1 and 255)
);
create unique index users_name_key on users (name);

-- `row` is the rowid under a name of its own: a rowid without one may change when the file is vacuumed, and the
-- full-text index refers to it. The heavy columns stand last, so that reading the others skips their overflow pages.
create table artifacts (
  row integer primary key,
  id blob not null unique check (length(id) = 16),
  owner_id blob references users (id) on delete cascade,
  type text not null,
  name text not null,
  description text,
  source text,
  author text,
  license text,
  version text,
  visibility text not null default 'PRIVATE',
  revision integer not null default 1,
  created_at integer not null,
  updated_at integer not null,
  metadata text,
  content text,
  constraint artifacts_type_check check (length(type) between 1 and 64),
  constraint artifacts_name_check check (length(name) between 1 and 255),
  constraint artifacts_visibility_check check (visibility in ('PRIVATE', 'UNLISTED', 'PUBLIC'))
);
create unique index artifacts_owner_type_name_key on artifacts (coalesce(owner_id, x''), type, name);
-- The parent key of collection_artifacts, which keeps type and name beside each membership.
create unique index artifacts_id_type_name_key on artifacts (id, type, name);
create index artifacts_created_at_idx on artifacts (created_at, id);
create index artifacts_updated_at_idx on artifacts (updated_at, id);
create index artifacts_name_idx on artifacts (name, id);
create index artifacts_type_created_at_idx on artifacts (type, created_at, id);
create index artifacts_type_name_idx on artifacts (type, name, id);
create index artifacts_visibility_created_at_idx on artifacts (visibility, created_at, id);

create table artifact_versions (
  id blob not null primary key check (length(id) = 16),
  artifact_id blob not null references artifacts (id) on delete cascade,
  version text not null,
  content_hash text,
  notes text,
  revision integer not null default 1,
  created_at integer not null,
  constraint artifact_versions_version_check check (length(version) between 1 and 255)
);
create index artifact_versions_artifact_created_at_idx on artifact_versions (artifact_id, created_at, id);

create table tags (
  row integer primary key,
  id blob not null unique check (length(id) = 16),
  name text not null,
  slug text not null,
  color text,
  revision integer not null default 1,
  created_at integer not null,
  updated_at integer not null,
  constraint tags_name_check check (length(name) between 1 and 100),
  constraint tags_slug_check check (length(slug) between 1 and 100)
);
create unique index tags_slug_key on tags (slug);
create index tags_name_idx on tags (name, id);

-- The time an artifact was made stands beside its tags: it never changes, and orders the artifacts of a tag.
create table artifact_tags (
  artifact_id blob not null references artifacts (id) on delete cascade,
  tag_id blob not null references tags (id) on delete cascade,
  artifact_created_at integer not null,
  revision integer not null default 1,
  created_at integer not null,
  primary key (artifact_id, tag_id)
);
create index artifact_tags_tag_idx on artifact_tags (tag_id, artifact_created_at, artifact_id);

create table collections (
  row integer primary key,
  id blob not null unique check (length(id) = 16),
  owner_id blob references users (id) on delete cascade,
  name text not null,
  description text,
  kind text,
  color text,
  visibility text not null default 'PRIVATE',
  revision integer not null default 1,
  created_at integer not null,
  updated_at integer not null,
  constraint collections_name_check check (length(name) between 1 and 255),
  constraint collections_visibility_check check (visibility in ('PRIVATE', 'UNLISTED', 'PUBLIC'))
);
create unique index collections_owner_name_key on collections (coalesce(owner_id, x''), name);
create index collections_created_at_idx on collections (created_at, id);
create index collections_updated_at_idx on collections (updated_at, id);
create index collections_name_idx on collections (name, id);
create index collections_kind_created_at_idx on collections (kind, created_at, id);
create index collections_visibility_created_at_idx on collections (visibility, created_at, id);
create index collections_owner_created_at_idx on collections (owner_id, created_at, id);

-- Type and name of the artifact stand beside each membership, kept alike by the foreign key: a collection is then
-- filtered by type, ordered by name and counted by type without reading its artifacts.
create table collection_artifacts (
  collection_id blob not null references collections (id) on delete cascade,
  artifact_id blob not null,
  artifact_type text not null,
  artifact_name text not null,
  sort_key integer not null,
  status text,
  note text,
  revision integer not null default 1,
  added_at integer not null,
  primary key (collection_id, artifact_id),
  constraint collection_artifacts_artifact_fkey foreign key (artifact_id, artifact_type, artifact_name)
    references artifacts (id, type, name) on delete cascade on update cascade
);
create index collection_artifacts_position_idx on collection_artifacts (collection_id, sort_key, artifact_id);
create index collection_artifacts_added_at_idx on collection_artifacts (collection_id, added_at, artifact_id);
create index collection_artifacts_name_idx on collection_artifacts (collection_id, artifact_name, artifact_id);
create index collection_artifacts_type_idx on collection_artifacts (collection_id, artifact_type, sort_key, artifact_id);
create index collection_artifacts_artifact_idx on collection_artifacts (artifact_id, artifact_type, artifact_name, collection_id);

create table groups (
  id blob not null primary key check (length(id) = 16),
  collection_id blob not null references collections (id) on delete cascade,
  name text not null,
  description text,
  color text,
  icon text,
  sort_key integer not null,
  revision integer not null default 1,
  created_at integer not null,
  updated_at integer not null,
  constraint groups_name_check check (length(name) between 1 and 255)
);
create unique index groups_collection_name_key on groups (collection_id, name);
-- The parent key of group_artifacts.
create unique index groups_id_collection_key on groups (id, collection_id);
create index groups_position_idx on groups (collection_id, sort_key, id);

-- A group holds only artifacts of its collection: leaving the collection is leaving its groups.
create table group_artifacts (
  group_id blob not null,
  collection_id blob not null,
  artifact_id blob not null,
  sort_key integer not null,
  revision integer not null default 1,
  added_at integer not null,
  primary key (group_id, artifact_id),
  constraint group_artifacts_group_fkey foreign key (group_id, collection_id)
    references groups (id, collection_id) on delete cascade on update cascade,
  constraint group_artifacts_member_fkey foreign key (collection_id, artifact_id)
    references collection_artifacts (collection_id, artifact_id) on delete cascade
);
create index group_artifacts_position_idx on group_artifacts (group_id, sort_key, artifact_id);
create index group_artifacts_artifact_idx on group_artifacts (artifact_id, group_id);
create index group_artifacts_member_idx on group_artifacts (collection_id, artifact_id);

-- Members of each collection by type, kept by the triggers below whatever writes: statements, cascades, bulk loads.
create table collection_counts (
  collection_id blob not null references collections (id) on delete cascade,
  artifact_type text not null,
  n integer not null,
  primary key (collection_id, artifact_type)
) without rowid;

create trigger collection_artifacts_count_insert after insert on collection_artifacts begin
  insert into collection_counts (collection_id, artifact_type, n) values (new.collection_id, new.artifact_type, 1)
  on conflict (collection_id, artifact_type) do update set n = n + 1;
end;
create trigger collection_artifacts_count_delete after delete on collection_artifacts begin
  update collection_counts set n = n - 1
  where collection_id = old.collection_id and artifact_type = old.artifact_type;
end;
create trigger collection_artifacts_count_update after update of collection_id, artifact_type on collection_artifacts
when new.collection_id <> old.collection_id or new.artifact_type <> old.artifact_type begin
  update collection_counts set n = n - 1
  where collection_id = old.collection_id and artifact_type = old.artifact_type;
  insert into collection_counts (collection_id, artifact_type, n) values (new.collection_id, new.artifact_type, 1)
  on conflict (collection_id, artifact_type) do update set n = n + 1;
end;

-- Full-text search. `name` is apart because a match there ranks first; `rest` is description, author and tags.
create virtual table artifact_search using fts5 (
  name, rest, content = '', contentless_delete = 1, prefix = '2 3', tokenize = 'unicode61 remove_diacritics 2'
);
create trigger artifacts_search_insert after insert on artifacts begin
  insert into artifact_search (rowid, name, rest)
  values (new.row, new.name, coalesce(new.description, '') || ' ' || coalesce(new.author, ''));
end;
create trigger artifacts_search_delete after delete on artifacts begin
  delete from artifact_search where rowid = old.row;
end;
create trigger artifacts_search_update after update of name, description, author on artifacts begin
  insert or replace into artifact_search (rowid, name, rest)
  values (new.row, new.name, coalesce(new.description, '') || ' ' || coalesce(new.author, '') || ' ' || coalesce((
    select group_concat(t.name || ' ' || t.slug, ' ')
    from artifact_tags l join tags t on t.id = l.tag_id where l.artifact_id = new.id), ''));
end;
create trigger artifact_tags_search_insert after insert on artifact_tags begin
  insert or replace into artifact_search (rowid, name, rest)
  select a.row, a.name, coalesce(a.description, '') || ' ' || coalesce(a.author, '') || ' ' || coalesce((
    select group_concat(t.name || ' ' || t.slug, ' ')
    from artifact_tags l join tags t on t.id = l.tag_id where l.artifact_id = a.id), '')
  from artifacts a where a.id = new.artifact_id;
end;
create trigger artifact_tags_search_delete after delete on artifact_tags begin
  insert or replace into artifact_search (rowid, name, rest)
  select a.row, a.name, coalesce(a.description, '') || ' ' || coalesce(a.author, '') || ' ' || coalesce((
    select group_concat(t.name || ' ' || t.slug, ' ')
    from artifact_tags l join tags t on t.id = l.tag_id where l.artifact_id = a.id), '')
  from artifacts a where a.id = old.artifact_id;
end;
create trigger tags_search_update after update of name, slug on tags begin
  insert or replace into artifact_search (rowid, name, rest)
  select a.row, a.name, coalesce(a.description, '') || ' ' || coalesce(a.author, '') || ' ' || coalesce((
    select group_concat(t.name || ' ' || t.slug, ' ')
    from artifact_tags l join tags t on t.id = l.tag_id where l.artifact_id = a.id), '')
  from artifact_tags l join artifacts a on a.id = l.artifact_id where l.tag_id = new.id;
end;

create virtual table collection_search using fts5 (
  name, rest, content = '', contentless_delete = 1, prefix = '2 3', tokenize = 'unicode61 remove_diacritics 2'
);
create trigger collections_search_insert after insert on collections begin
  insert into collection_search (rowid, name, rest) values (new.row, new.name, coalesce(new.description, ''));
end;
create trigger collections_search_delete after delete on collections begin
  delete from collection_search where rowid = old.row;
end;
create trigger collections_search_update after update of name, description on collections begin
  insert or replace into collection_search (rowid, name, rest)
  values (new.row, new.name, coalesce(new.description, ''));
end;

create virtual table tag_search using fts5 (
  name, rest, content = '', contentless_delete = 1, prefix = '2 3', tokenize = 'unicode61 remove_diacritics 2'
);
create trigger tags_tag_search_insert after insert on tags begin
  insert into tag_search (rowid, name, rest) values (new.row, new.name, new.slug);
end;
create trigger tags_tag_search_delete after delete on tags begin
  delete from tag_search where rowid = old.row;
end;
create trigger tags_tag_search_update after update of name, slug on tags begin
  insert or replace into tag_search (rowid, name, rest) values (new.row, new.name, new.slug);
end;
