-- The address of an artifact's web page. The rules for it are in the server, as for all texts.
alter table artifacts add column homepage text;
