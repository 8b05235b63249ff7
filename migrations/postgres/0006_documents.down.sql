drop table automatic_documents;
drop table trusted_revision;
drop table trusted_documents;
