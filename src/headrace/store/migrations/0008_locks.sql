-- Locks that steps hold.
select;
