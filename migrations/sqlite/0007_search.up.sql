-- Words of the full-text indexes are normalised by the program, when it writes a text. The indexes split them at spaces and
-- compare bytes, as on PostgreSQL. The program fills the columns of rows that exist; `name_words` is null until then.
alter table artifacts add column name_words text;
alter table artifacts add column description_words text;
alter table artifacts add column author_words text;
alter table collections add column name_words text;
alter table collections add column description_words text;
alter table tags add column name_words text;
alter table tags add column slug_words text;

-- Rows without words: those of earlier releases.
create index artifacts_without_words_idx on artifacts (id) where name_words is null;
create index collections_without_words_idx on collections (id) where name_words is null;
create index tags_without_words_idx on tags (id) where name_words is null;

drop trigger artifacts_search_insert;
drop trigger artifacts_search_delete;
drop trigger artifacts_search_update;
drop trigger artifact_tags_search_insert;
drop trigger artifact_tags_search_delete;
drop trigger tags_search_update;
drop trigger collections_search_insert;
drop trigger collections_search_delete;
drop trigger collections_search_update;
drop trigger tags_tag_search_insert;
drop trigger tags_tag_search_delete;
drop trigger tags_tag_search_update;
drop table artifact_search;
drop table collection_search;
drop table tag_search;

-- `rest` has the words of description, author and tags; those of tags up to 20,000 characters, as on PostgreSQL.
create virtual table artifact_search using fts5 (
  name, rest, content = '', contentless_delete = 1, prefix = '2 3', tokenize = 'ascii'
);
create view artifact_search_source as
select a.id, a.row, coalesce(a.name_words, '') as name,
  coalesce(a.description_words, '') || ' ' || coalesce(a.author_words, '') || ' ' || coalesce((
    select substr(group_concat(coalesce(t.name_words, '') || ' ' || coalesce(t.slug_words, ''), ' ' order by t.id), 1, 20000)
    from artifact_tags l join tags t on t.id = l.tag_id where l.artifact_id = a.id), '') as rest
from artifacts a;
create trigger artifacts_search_insert after insert on artifacts begin
  insert into artifact_search (rowid, name, rest) values (
    new.row, coalesce(new.name_words, ''), coalesce(new.description_words, '') || ' ' || coalesce(new.author_words, ''));
end;
create trigger artifacts_search_delete after delete on artifacts begin
  delete from artifact_search where rowid = old.row;
end;
create trigger artifacts_search_update after update of name_words, description_words, author_words on artifacts begin
  insert or replace into artifact_search (rowid, name, rest)
  select s.row, s.name, s.rest from artifact_search_source s where s.id = new.id;
end;
create trigger artifact_tags_search_insert after insert on artifact_tags begin
  insert or replace into artifact_search (rowid, name, rest)
  select s.row, s.name, s.rest from artifact_search_source s where s.id = new.artifact_id;
end;
create trigger artifact_tags_search_delete after delete on artifact_tags begin
  insert or replace into artifact_search (rowid, name, rest)
  select s.row, s.name, s.rest from artifact_search_source s where s.id = old.artifact_id;
end;
create trigger tags_search_update after update of name_words, slug_words on tags begin
  insert or replace into artifact_search (rowid, name, rest)
  select s.row, s.name, s.rest from artifact_tags l join artifact_search_source s on s.id = l.artifact_id
  where l.tag_id = new.id;
end;

create virtual table collection_search using fts5 (
  name, rest, content = '', contentless_delete = 1, prefix = '2 3', tokenize = 'ascii'
);
create trigger collections_search_insert after insert on collections begin
  insert into collection_search (rowid, name, rest)
  values (new.row, coalesce(new.name_words, ''), coalesce(new.description_words, ''));
end;
create trigger collections_search_delete after delete on collections begin
  delete from collection_search where rowid = old.row;
end;
create trigger collections_search_update after update of name_words, description_words on collections begin
  insert or replace into collection_search (rowid, name, rest)
  values (new.row, coalesce(new.name_words, ''), coalesce(new.description_words, ''));
end;

create virtual table tag_search using fts5 (
  name, rest, content = '', contentless_delete = 1, prefix = '2 3', tokenize = 'ascii'
);
create trigger tags_tag_search_insert after insert on tags begin
  insert into tag_search (rowid, name, rest)
  values (new.row, coalesce(new.name_words, ''), coalesce(new.slug_words, ''));
end;
create trigger tags_tag_search_delete after delete on tags begin
  delete from tag_search where rowid = old.row;
end;
create trigger tags_tag_search_update after update of name_words, slug_words on tags begin
  insert or replace into tag_search (rowid, name, rest)
  values (new.row, coalesce(new.name_words, ''), coalesce(new.slug_words, ''));
end;
