-- The catalogue: artifacts, the collections and groups that hold them, tags and versions.
--
-- Text is compared by code point (collation C), so that both databases sort alike; sort keys are sparse, so that moving a
-- row rewrites that row alone. Names of constraints are part of the interface: writes map them to errors.

create table users (
  id uuid not null primary key,
  name text collate "C" not null,
  revision bigint not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint users_name_check check (length(name) between 1 and 255)
);
create unique index users_name_key on users (name);

create table artifacts (
  id uuid not null primary key,
  owner_id uuid references users (id) on delete cascade,
  type text collate "C" not null,
  name text collate "C" not null,
  description text,
  source text collate "C",
  author text collate "C",
  license text collate "C",
  version text collate "C",
  visibility text collate "C" not null default 'PRIVATE',
  revision bigint not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  metadata text,
  content text,
  constraint artifacts_type_check check (length(type) between 1 and 64),
  constraint artifacts_name_check check (length(name) between 1 and 255),
  constraint artifacts_visibility_check check (visibility in ('PRIVATE', 'UNLISTED', 'PUBLIC'))
);
create unique index artifacts_owner_type_name_key on artifacts (coalesce(owner_id, '00000000-0000-0000-0000-000000000000'), type, name);
-- The parent key of collection_artifacts, which keeps type and name beside each membership.
create unique index artifacts_id_type_name_key on artifacts (id, type, name);
create index artifacts_created_at_idx on artifacts (created_at, id);
create index artifacts_updated_at_idx on artifacts (updated_at, id);
create index artifacts_name_idx on artifacts (name, id);
create index artifacts_type_created_at_idx on artifacts (type, created_at, id);
create index artifacts_type_name_idx on artifacts (type, name, id);
create index artifacts_visibility_created_at_idx on artifacts (visibility, created_at, id);

create table artifact_versions (
  id uuid not null primary key,
  artifact_id uuid not null references artifacts (id) on delete cascade,
  version text collate "C" not null,
  content_hash text collate "C",
  notes text,
  revision bigint not null default 1,
  created_at timestamptz not null,
  constraint artifact_versions_version_check check (length(version) between 1 and 255)
);
create index artifact_versions_artifact_created_at_idx on artifact_versions (artifact_id, created_at, id);

create table tags (
  id uuid not null primary key,
  name text collate "C" not null,
  slug text collate "C" not null,
  color text collate "C",
  revision bigint not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint tags_name_check check (length(name) between 1 and 100),
  constraint tags_slug_check check (length(slug) between 1 and 100)
);
create unique index tags_slug_key on tags (slug);
create index tags_name_idx on tags (name, id);

-- The time an artifact was made stands beside its tags: it never changes, and orders the artifacts of a tag.
create table artifact_tags (
  artifact_id uuid not null references artifacts (id) on delete cascade,
  tag_id uuid not null references tags (id) on delete cascade,
  artifact_created_at timestamptz not null,
  revision bigint not null default 1,
  created_at timestamptz not null,
  primary key (artifact_id, tag_id)
);
create index artifact_tags_tag_idx on artifact_tags (tag_id, artifact_created_at, artifact_id);

create table collections (
  id uuid not null primary key,
  owner_id uuid references users (id) on delete cascade,
  name text collate "C" not null,
  description text,
  kind text collate "C",
  color text collate "C",
  visibility text collate "C" not null default 'PRIVATE',
  revision bigint not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint collections_name_check check (length(name) between 1 and 255),
  constraint collections_visibility_check check (visibility in ('PRIVATE', 'UNLISTED', 'PUBLIC'))
);
create unique index collections_owner_name_key on collections (coalesce(owner_id, '00000000-0000-0000-0000-000000000000'), name);
create index collections_created_at_idx on collections (created_at, id);
create index collections_updated_at_idx on collections (updated_at, id);
create index collections_name_idx on collections (name, id);
create index collections_kind_created_at_idx on collections (kind, created_at, id);
create index collections_visibility_created_at_idx on collections (visibility, created_at, id);
create index collections_owner_created_at_idx on collections (owner_id, created_at, id);

-- Type and name of the artifact stand beside each membership, kept alike by the foreign key: a collection is then
-- filtered by type, ordered by name and counted by type without reading its artifacts.
create table collection_artifacts (
  collection_id uuid not null references collections (id) on delete cascade,
  artifact_id uuid not null,
  artifact_type text collate "C" not null,
  artifact_name text collate "C" not null,
  sort_key bigint not null,
  status text,
  note text,
  revision bigint not null default 1,
  added_at timestamptz not null,
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
  id uuid not null primary key,
  collection_id uuid not null references collections (id) on delete cascade,
  name text collate "C" not null,
  description text,
  color text collate "C",
  icon text collate "C",
  sort_key bigint not null,
  revision bigint not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint groups_name_check check (length(name) between 1 and 255)
);
create unique index groups_collection_name_key on groups (collection_id, name);
-- The parent key of group_artifacts.
create unique index groups_id_collection_key on groups (id, collection_id);
create index groups_position_idx on groups (collection_id, sort_key, id);

-- A group holds only artifacts of its collection: leaving the collection is leaving its groups.
create table group_artifacts (
  group_id uuid not null,
  collection_id uuid not null,
  artifact_id uuid not null,
  sort_key bigint not null,
  revision bigint not null default 1,
  added_at timestamptz not null,
  primary key (group_id, artifact_id),
  constraint group_artifacts_group_fkey foreign key (group_id, collection_id)
    references groups (id, collection_id) on delete cascade on update cascade,
  constraint group_artifacts_member_fkey foreign key (collection_id, artifact_id)
    references collection_artifacts (collection_id, artifact_id) on delete cascade
);
create index group_artifacts_position_idx on group_artifacts (group_id, sort_key, artifact_id);
create index group_artifacts_artifact_idx on group_artifacts (artifact_id, group_id);
create index group_artifacts_member_idx on group_artifacts (collection_id, artifact_id);

-- Members of each collection by type, kept by the triggers below whatever writes: statements, cascades, bulk loads. A trigger runs
-- once a statement and locks counts in the order of their keys, so that writers cannot deadlock on them.
create table collection_counts (
  collection_id uuid not null references collections (id) on delete cascade,
  artifact_type text collate "C" not null,
  n bigint not null,
  primary key (collection_id, artifact_type)
);

-- Functions keep the search path of their making, so that a dump, which is restored without one, finds the tables.
create function collection_artifacts_count_insert() returns trigger language plpgsql set search_path from current as $$
begin
  insert into collection_counts as c (collection_id, artifact_type, n)
  select collection_id, artifact_type, count(*) from added
  group by collection_id, artifact_type
  order by collection_id, artifact_type
  on conflict (collection_id, artifact_type) do update set n = c.n + excluded.n;
  return null;
end $$;
create function collection_artifacts_count_delete() returns trigger language plpgsql set search_path from current as $$
begin
  perform 1 from collection_counts c
  where (c.collection_id, c.artifact_type) in (select collection_id, artifact_type from removed)
  order by c.collection_id, c.artifact_type
  for update;
  update collection_counts c set n = c.n - r.n
  from (select collection_id, artifact_type, count(*) as n from removed group by collection_id, artifact_type) r
  where c.collection_id = r.collection_id and c.artifact_type = r.artifact_type;
  return null;
end $$;
create function collection_artifacts_count_update() returns trigger language plpgsql set search_path from current as $$
begin
  insert into collection_counts as c (collection_id, artifact_type, n)
  select collection_id, artifact_type, sum(n) from (
    select collection_id, artifact_type, 1 as n from added
    union all
    select collection_id, artifact_type, -1 from removed
  ) changes
  group by collection_id, artifact_type
  having sum(n) <> 0
  order by collection_id, artifact_type
  on conflict (collection_id, artifact_type) do update set n = c.n + excluded.n;
  return null;
end $$;
create trigger collection_artifacts_count_insert after insert on collection_artifacts
  referencing new table as added for each statement execute function collection_artifacts_count_insert();
create trigger collection_artifacts_count_delete after delete on collection_artifacts
  referencing old table as removed for each statement execute function collection_artifacts_count_delete();
create trigger collection_artifacts_count_update after update on collection_artifacts
  referencing old table as removed new table as added for each statement
  execute function collection_artifacts_count_update();

-- Full-text search. Words of the name have weight A because a match there ranks first; weight B is description, author
-- and tags. Text is folded as the tokenizer of the embedded database folds it: no accents, lower case, words of letters
-- and digits.
create function search_fold(value text) returns text language sql immutable parallel safe as $$
  select lower(regexp_replace(
    regexp_replace(normalize(value, nfkd), '[\u0300-\u036f]', '', 'g') collate "und-x-icu", '[^[:alnum:]]+', ' ', 'g'))
$$;
create function search_words(name text, rest text) returns tsvector language sql immutable parallel safe as $$
  select setweight(to_tsvector('simple', search_fold(name)), 'A')
      || setweight(to_tsvector('simple', search_fold(rest)), 'B')
$$;
-- Every word of `words` as a prefix; `weights` is '' for anywhere or 'A' for the name.
create function search_query(words text, weights text) returns tsquery language sql immutable parallel safe as $$
  select to_tsquery('simple',
    regexp_replace(btrim(search_fold(words)), ' +', ':*' || weights || ' & ', 'g') || ':*' || weights)
$$;

create table artifact_search (
  artifact_id uuid not null primary key references artifacts (id) on delete cascade,
  words tsvector not null
);
create index artifact_search_words_idx on artifact_search using gin (words);
create function artifact_search_refresh(ids uuid[]) returns void language sql set search_path from current as $$
  insert into artifact_search (artifact_id, words)
  select a.id, search_words(a.name, concat_ws(' ', a.description, a.author, (
    select string_agg(t.name || ' ' || t.slug, ' ')
    from artifact_tags l join tags t on t.id = l.tag_id where l.artifact_id = a.id)))
  from artifacts a where a.id = any(ids)
  order by a.id
  on conflict (artifact_id) do update set words = excluded.words
$$;
create function artifacts_search_write() returns trigger language plpgsql set search_path from current as $$
begin
  perform artifact_search_refresh(array(select id from added));
  return null;
end $$;
create function artifacts_search_update() returns trigger language plpgsql set search_path from current as $$
begin
  perform artifact_search_refresh(array(
    select a.id from added a join removed r on r.id = a.id
    where (a.name, a.description, a.author) is distinct from (r.name, r.description, r.author)));
  return null;
end $$;
create function artifact_tags_search_insert() returns trigger language plpgsql set search_path from current as $$
begin
  perform artifact_search_refresh(array(select distinct artifact_id from added));
  return null;
end $$;
create function artifact_tags_search_delete() returns trigger language plpgsql set search_path from current as $$
begin
  perform artifact_search_refresh(array(select distinct artifact_id from removed));
  return null;
end $$;
create function tags_search_update() returns trigger language plpgsql set search_path from current as $$
begin
  perform artifact_search_refresh(array(
    select distinct l.artifact_id from added a join removed r on r.id = a.id join artifact_tags l on l.tag_id = a.id
    where (a.name, a.slug) is distinct from (r.name, r.slug)));
  return null;
end $$;
create trigger artifacts_search_insert after insert on artifacts
  referencing new table as added for each statement execute function artifacts_search_write();
create trigger artifacts_search_update after update on artifacts
  referencing old table as removed new table as added for each statement execute function artifacts_search_update();
create trigger artifact_tags_search_insert after insert on artifact_tags
  referencing new table as added for each statement execute function artifact_tags_search_insert();
create trigger artifact_tags_search_delete after delete on artifact_tags
  referencing old table as removed for each statement execute function artifact_tags_search_delete();
create trigger tags_search_update after update on tags
  referencing old table as removed new table as added for each statement execute function tags_search_update();

create table collection_search (
  collection_id uuid not null primary key references collections (id) on delete cascade,
  words tsvector not null
);
create index collection_search_words_idx on collection_search using gin (words);
create function collections_search_write() returns trigger language plpgsql set search_path from current as $$
begin
  insert into collection_search (collection_id, words)
  select id, search_words(name, coalesce(description, '')) from added order by id
  on conflict (collection_id) do update set words = excluded.words;
  return null;
end $$;
create trigger collections_search_insert after insert on collections
  referencing new table as added for each statement execute function collections_search_write();
create trigger collections_search_update after update on collections
  referencing new table as added for each statement execute function collections_search_write();

create table tag_search (
  tag_id uuid not null primary key references tags (id) on delete cascade,
  words tsvector not null
);
create index tag_search_words_idx on tag_search using gin (words);
create function tags_tag_search_write() returns trigger language plpgsql set search_path from current as $$
begin
  insert into tag_search (tag_id, words)
  select id, search_words(name, slug) from added order by id
  on conflict (tag_id) do update set words = excluded.words;
  return null;
end $$;
create trigger tags_tag_search_insert after insert on tags
  referencing new table as added for each statement execute function tags_tag_search_write();
create trigger tags_tag_search_update after update on tags
  referencing new table as added for each statement execute function tags_tag_search_write();
