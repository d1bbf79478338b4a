-- Written by the change that needs it.
select;
