-- Documents that requests name by an identifier instead of sending their text.

-- Trusted documents, which operators add from manifests of client tools. The identifier is that of the manifest; the hash is
-- the SHA-256 of the text in lower-case hexadecimal digits, by which a document is found too.
create table trusted_documents (
  id text collate "C" not null primary key,
  hash text collate "C" not null,
  body text not null,
  bytes bigint not null,
  operations text not null,
  created_at timestamptz not null
);
create index trusted_documents_hash_idx on trusted_documents (hash);

-- The number of changes of trusted documents. Nodes compare it to know whether the texts in their memory are still trusted.
create table trusted_revision (
  id bigint not null primary key,
  revision bigint not null,
  constraint trusted_revision_check check (id = 1)
);
insert into trusted_revision (id, revision) values (1, 0);

-- Documents of automatic persisted queries. Their number is limited, and the index finds those that were not used for longest.
create table automatic_documents (
  hash text collate "C" not null primary key,
  body text not null,
  bytes bigint not null,
  created_at timestamptz not null,
  used_at timestamptz not null
);
create index automatic_documents_used_at_idx on automatic_documents (used_at, hash, bytes);
