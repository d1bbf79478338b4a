-- Items that failed for good where others may do without them (`at_least`): their outcome is a row,
-- whose output is the error.
alter table headrace.steps drop constraint steps_state;
-- Not validated, which would read the whole table under the lock of `alter table`: rows that are
-- there obeyed the narrower rule.
alter table headrace.steps add constraint steps_state check (
    state in ('completed', 'skipped', 'planned') or (state = 'failed' and item <> '')
) not valid;
