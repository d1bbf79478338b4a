-- Callbacks of an external parser that were taken, so that none is taken twice.

-- Of one job a nonce stands for one body: the same again is the same callback, which its sender
-- repeats because it did not hear our answer; any other body is refused.
create table headrace_documents.callbacks (
    job uuid not null,
    nonce text collate "C" not null,
    body bytea not null,
    received_at timestamptz not null,
    primary key (job, nonce)
);

create index callbacks_by_time on headrace_documents.callbacks (received_at);

-- The API's role reads nothing here.
alter table headrace_documents.callbacks enable row level security;
create policy callbacks_wall on headrace_documents.callbacks using (
    current_user <> 'headrace_api'
);
