-- What a step says of itself beside its output: a model's name, what was used up, a fallback.
alter table headrace.steps add column metadata json;
