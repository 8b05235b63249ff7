-- Tokens of accounts. Of a token itself only its hash is kept.
create table tokens (
  id blob not null primary key check (length(id) = 16),
  user_id blob not null references users (id) on delete cascade,
  hash text not null,
  scope text not null,
  created_at integer not null,
  expires_at integer,
  last_used_at integer,
  revoked_at integer,
  constraint tokens_scope_check check (scope in ('read', 'write', 'admin'))
);
create unique index tokens_hash_key on tokens (hash);
create index tokens_user_id_idx on tokens (user_id);
