-- Words of the full-text indexes are normalised by the program, when it writes a text. The indexes split them at spaces and
-- compare bytes, as on SQLite. The program fills the columns of rows that exist; `name_words` is null until then.
alter table artifacts add column name_words text collate "C";
alter table artifacts add column description_words text collate "C";
alter table artifacts add column author_words text collate "C";
alter table collections add column name_words text collate "C";
alter table collections add column description_words text collate "C";
alter table tags add column name_words text collate "C";
alter table tags add column slug_words text collate "C";

-- Rows without words: those of earlier releases.
create index artifacts_without_words_idx on artifacts (id) where name_words is null;
create index collections_without_words_idx on collections (id) where name_words is null;
create index tags_without_words_idx on tags (id) where name_words is null;

drop trigger artifacts_search_insert on artifacts;
drop trigger artifacts_search_update on artifacts;
drop trigger artifact_tags_search_insert on artifact_tags;
drop trigger artifact_tags_search_delete on artifact_tags;
drop trigger tags_search_update on tags;
drop trigger collections_search_insert on collections;
drop trigger collections_search_update on collections;
drop trigger tags_tag_search_insert on tags;
drop trigger tags_tag_search_update on tags;
drop function artifacts_search_write;
drop function artifacts_search_update;
drop function artifact_tags_search_insert;
drop function artifact_tags_search_delete;
drop function tags_search_update;
drop function collections_search_write;
drop function tags_tag_search_write;
drop function artifact_search_refresh;
drop function search_words;
drop table artifact_search;
drop table collection_search;
drop table tag_search;
-- `search_query` and `search_fold` stay: nodes of the earlier release call them until they are replaced.

-- `words` has all words; those of the name are also apart, because a match there ranks first. Words have neither positions
-- nor weights, so that a long text has room for more of them. The words of tags are limited to 20,000 characters, as on
-- SQLite: with the limits of the other columns, an entry stays below the 1 MiB of a tsvector.
create table artifact_search (
  artifact_id uuid not null primary key references artifacts (id) on delete cascade,
  name_words tsvector not null,
  words tsvector not null
);
create index artifact_search_name_words_idx on artifact_search using gin (name_words);
create index artifact_search_words_idx on artifact_search using gin (words);
-- Functions keep the search path of their making, so that a dump, which is restored without one, finds the tables.
create function artifact_search_refresh(ids uuid[]) returns void language sql set search_path from current as $$
  insert into artifact_search (artifact_id, name_words, words)
  select a.id, coalesce(a.name_words, '')::tsvector,
    concat_ws(' ', a.name_words, a.description_words, a.author_words, (
      select left(string_agg(concat_ws(' ', t.name_words, t.slug_words), ' ' order by t.id), 20000)
      from artifact_tags l join tags t on t.id = l.tag_id where l.artifact_id = a.id))::tsvector
  from artifacts a where a.id = any(ids)
  order by a.id
  on conflict (artifact_id) do update set name_words = excluded.name_words, words = excluded.words
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
    where (a.name_words, a.description_words, a.author_words)
      is distinct from (r.name_words, r.description_words, r.author_words)));
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
    where (a.name_words, a.slug_words) is distinct from (r.name_words, r.slug_words)));
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
  select id, concat_ws(' ', name_words, description_words)::tsvector from added order by id
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
  select id, concat_ws(' ', name_words, slug_words)::tsvector from added order by id
  on conflict (tag_id) do update set words = excluded.words;
  return null;
end $$;
create trigger tags_tag_search_insert after insert on tags
  referencing new table as added for each statement execute function tags_tag_search_write();
create trigger tags_tag_search_update after update on tags
  referencing new table as added for each statement execute function tags_tag_search_write();
