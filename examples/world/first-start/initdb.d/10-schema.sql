create table starts(number integer);
create table towers(name text primary key, height integer check (height > 0));
