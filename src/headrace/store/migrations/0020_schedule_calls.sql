-- Since when a schedule's function is called and has not come back: who dies of it leaves a trace
-- (docs/adr/0025-schedules.md).
alter table headrace.schedules add column calling_since timestamptz;
