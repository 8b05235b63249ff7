-- What later requests must know of writes. Those who follow them are told by NOTIFY, which needs no table.

-- What requests with an Idempotency-Key came to. A field's outcome is kept in the transaction of its write, so a request
-- that is tried again writes nothing twice, whatever became of the first answer; the answer is kept once it is whole.
create table idempotent_requests (
  key text collate "C" not null primary key,
  request text not null,
  answer text,
  created_at timestamptz not null
);
create index idempotent_requests_created_at_idx on idempotent_requests (created_at);
create table idempotent_outcomes (
  key text collate "C" not null references idempotent_requests (key) on delete cascade,
  field text not null,
  outcome text not null,
  primary key (key, field)
);
