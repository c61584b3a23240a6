insert into towers values ('Pisa', 57), ('Eiffel', 330), ('Bologna', 97);
