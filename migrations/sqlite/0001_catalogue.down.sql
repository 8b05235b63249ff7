-- Removes the catalogue and all that is in it.
drop table artifact_search;
drop table collection_search;
drop table tag_search;
drop table collection_counts;
drop table group_artifacts;
drop table groups;
drop table collection_artifacts;
drop table collections;
drop table artifact_tags;
drop table tags;
drop table artifact_versions;
drop table artifacts;
drop table users;
