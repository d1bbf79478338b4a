-- Jobs in order, and no more at a time than a limit allows.
select;
