drop table idempotent_outcomes;
drop table idempotent_requests;
