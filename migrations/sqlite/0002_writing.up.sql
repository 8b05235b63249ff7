-- What other processes and later requests must know of writes.

-- What was written, in the order in which it was kept, for those who follow it. Only the newest are kept: whoever is
-- further behind is told to read again.
create table announcements (
  seq integer primary key autoincrement,
  message text not null
);
create trigger announcements_trim after insert on announcements begin
  delete from announcements where seq <= new.seq - 1000;
end;

-- What requests with an Idempotency-Key came to. A field's outcome is kept in the transaction of its write, so a request
-- that is tried again writes nothing twice, whatever became of the first answer; the answer is kept once it is whole.
create table idempotent_requests (
  key text not null primary key,
  request text not null,
  answer text,
  created_at integer not null
);
create index idempotent_requests_created_at_idx on idempotent_requests (created_at);
create table idempotent_outcomes (
  key text not null references idempotent_requests (key) on delete cascade,
  field text not null,
  outcome text not null,
  primary key (key, field)
);
