drop trigger artifacts_search_insert on artifacts;
drop trigger artifacts_search_update on artifacts;
drop trigger artifact_tags_search_insert on artifact_tags;
drop trigger artifact_tags_search_delete on artifact_tags;
drop trigger tags_search_update on tags;
drop trigger collections_search_insert on collections;
drop trigger collections_search_update on collections;
drop trigger tags_tag_search_insert on tags;
drop trigger tags_tag_search_update on tags;
drop function artifact_search_refresh;
drop function artifacts_search_write;
drop function artifacts_search_update;
drop function artifact_tags_search_insert;
drop function artifact_tags_search_delete;
drop function tags_search_update;
drop function collections_search_write;
drop function tags_tag_search_write;
drop table artifact_search;
drop table collection_search;
drop table tag_search;
drop index artifacts_without_words_idx;
drop index collections_without_words_idx;
drop index tags_without_words_idx;
alter table artifacts drop column name_words;
alter table artifacts drop column description_words;
alter table artifacts drop column author_words;
alter table collections drop column name_words;
alter table collections drop column description_words;
alter table tags drop column name_words;
alter table tags drop column slug_words;

-- The indexes, functions and triggers of migration 1.
create function search_words(name text, rest text) returns tsvector language sql immutable parallel safe as $$
  select setweight(to_tsvector('simple', search_fold(name)), 'A')
      || setweight(to_tsvector('simple', search_fold(rest)), 'B')
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

select artifact_search_refresh(array(select id from artifacts));
insert into collection_search (collection_id, words)
select id, search_words(name, coalesce(description, '')) from collections;
insert into tag_search (tag_id, words) select id, search_words(name, slug) from tags;
