-- Tokens of accounts. Of a token itself only its hash is kept.
create table tokens (
  id uuid not null primary key,
  user_id uuid not null references users (id) on delete cascade,
  hash text collate "C" not null,
  scope text collate "C" not null,
  created_at timestamptz not null,
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  constraint tokens_scope_check check (scope in ('read', 'write', 'admin'))
);
create unique index tokens_hash_key on tokens (hash);
create index tokens_user_id_idx on tokens (user_id);
