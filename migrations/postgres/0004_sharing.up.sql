-- Who else may see an object: whoever has a link to it, and accounts that it was shared with. Of a link's token only its
-- hash is kept.
create table share_links (
  id uuid not null primary key,
  artifact_id uuid references artifacts (id) on delete cascade,
  collection_id uuid references collections (id) on delete cascade,
  hash text collate "C" not null,
  view_count bigint not null default 0,
  created_at timestamptz not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  constraint share_links_target_check check ((artifact_id is null) <> (collection_id is null))
);
create unique index share_links_hash_key on share_links (hash);
create index share_links_artifact_idx on share_links (artifact_id, created_at, id) where artifact_id is not null;
create index share_links_collection_idx on share_links (collection_id, created_at, id) where collection_id is not null;

create table shares (
  id uuid not null primary key,
  artifact_id uuid references artifacts (id) on delete cascade,
  collection_id uuid references collections (id) on delete cascade,
  sender_id uuid not null references users (id) on delete cascade,
  recipient_id uuid not null references users (id) on delete cascade,
  message text,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  viewed_at timestamptz,
  imported_at timestamptz,
  constraint shares_target_check check ((artifact_id is null) <> (collection_id is null))
);
create index shares_recipient_idx on shares (recipient_id, created_at, id);
create index shares_sender_idx on shares (sender_id, created_at, id);
-- What an account may see because it was shared with it.
create index shares_artifact_idx on shares (artifact_id, recipient_id, expires_at) where artifact_id is not null;
create index shares_collection_idx on shares (collection_id, recipient_id, expires_at) where collection_id is not null;

-- Accounts that an identity provider vouches for: who issued the token, and whom it calls so.
alter table users add column issuer text collate "C";
alter table users add column subject text collate "C";
create unique index users_issuer_subject_key on users (issuer, subject) where subject is not null;

-- What was made while there were accounts and no owners is the first account's.
update artifacts set owner_id = (select u.id from users u order by u.created_at, u.id limit 1)
  where owner_id is null and exists (select 1 from users);
update collections set owner_id = (select u.id from users u order by u.created_at, u.id limit 1)
  where owner_id is null and exists (select 1 from users);
