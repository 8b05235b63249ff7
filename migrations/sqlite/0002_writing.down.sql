drop table idempotent_outcomes;
drop table idempotent_requests;
drop trigger announcements_trim;
drop table announcements;
