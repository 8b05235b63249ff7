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
drop view artifact_search_source;
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

-- The indexes and triggers of migration 1.
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

insert into artifact_search (rowid, name, rest)
select a.row, a.name, coalesce(a.description, '') || ' ' || coalesce(a.author, '') || ' ' || coalesce((
  select group_concat(t.name || ' ' || t.slug, ' ')
  from artifact_tags l join tags t on t.id = l.tag_id where l.artifact_id = a.id), '')
from artifacts a;
insert into collection_search (rowid, name, rest) select row, name, coalesce(description, '') from collections;
insert into tag_search (rowid, name, rest) select row, name, slug from tags;
