drop index users_issuer_subject_key;
alter table users drop column subject;
alter table users drop column issuer;
drop table shares;
drop table share_links;
