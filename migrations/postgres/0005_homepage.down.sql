alter table artifacts drop column homepage;
