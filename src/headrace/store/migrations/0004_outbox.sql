-- What leaves headrace when a job changes: written with the change, sent afterwards.

-- Whether the result of this version may leave with the event; else it is named by its address.
alter table headrace.pipelines add column inline_output boolean not null default false;

-- Who is told by HTTP. With a job it is that job's own; else it hears of all jobs of its tenant and
-- owner, and of the whole tenant where the owner is null. Its key is derived from its id and the
-- generation, and is stored nowhere.
create table headrace.webhooks (
    id uuid primary key default gen_random_uuid(),
    tenant text collate "C" not null,
    owner text collate "C",
    job uuid,
    url text not null,
    -- What its limits are counted by: many webhooks can lead to one host.
    endpoint text collate "C" not null
        generated always as (
            coalesce(lower(substring(url from '^[^:/?#]+://[^/?#]*')), url)
        ) stored,
    events text[] not null default '{job.completed,job.failed,job.cancelled}',
    key_generation integer not null default 1,
    previous_until timestamptz,
    disabled_at timestamptz,
    disabled_reason text,
    created_at timestamptz not null default clock_timestamp(),
    created_by text not null,
    constraint webhooks_events check (
        cardinality(events) > 0
        and events <@ array[
            'job.queued', 'job.running', 'job.completed', 'job.failed', 'job.cancelled'
        ]
    ),
    constraint webhooks_key_generation check (key_generation >= 1),
    constraint webhooks_disabled check ((disabled_at is null) = (disabled_reason is null))
);

create index webhooks_of_tenant on headrace.webhooks (tenant, id) where job is null;
create index webhooks_of_progress on headrace.webhooks (id)
where events && array['job.queued', 'job.running'];
create index webhooks_of_job on headrace.webhooks (job) where job is not null;

-- Topics that get messages. Without a row nothing is written for them.
create table headrace.topics (
    kind text collate "C" primary key,
    name text collate "C" not null,
    constraint topics_kind check (kind in ('results', 'dead-letters')),
    constraint topics_name check (name <> '')
);

-- One row for each receiver of an event: open until it is sent or given up. A lease is no index's
-- business, so that taking a batch is a heap-only update.
create table headrace.outbox (
    id bigint generated always as identity primary key,
    event_id uuid not null default gen_random_uuid(),
    webhook uuid,
    topic text collate "C",
    endpoint text collate "C" not null,
    ordering_key text collate "C",
    kind text collate "C" not null,
    payload json not null,
    attributes json,
    tenant text collate "C" not null,
    job uuid,
    run integer,
    attempts smallint not null default 0,
    due_at timestamptz not null default headrace.now(),
    leased_until timestamptz,
    leased_by uuid,
    sent_at timestamptz,
    message_id text,
    last_error text,
    given_up_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    constraint outbox_receiver check (num_nonnulls(webhook, topic) = 1),
    constraint outbox_end check (num_nonnulls(sent_at, given_up_at) <= 1)
) with (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05
);

create index outbox_for_webhooks on headrace.outbox (endpoint, due_at, id)
where webhook is not null and sent_at is null and given_up_at is null;
create index outbox_for_topics on headrace.outbox (endpoint, due_at, id)
where topic is not null and sent_at is null and given_up_at is null;
create index outbox_waiting on headrace.outbox (id)
where topic is not null and sent_at is null and given_up_at is null;
create index outbox_of_job on headrace.outbox (job) where job is not null;
create index outbox_of_webhook on headrace.outbox (webhook, id) where webhook is not null;

-- --- what an event says --------------------------------------------------------------------------

create function headrace.as_text(at timestamptz) returns text
language sql stable strict parallel safe
return to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- An object with one more field, whose value stays as it is, to the byte.
create function headrace.with_field(whole json, name text, value json) returns json
language sql immutable parallel safe
return case
    when value is null then whole
    else (left(whole::text, -1) || ',' || to_json(name)::text || ':' || value::text || '}')::json
end;

-- How a run ended, as results say it.
create function headrace.outcome(state text, cause text) returns text
language sql immutable parallel safe
return case
    when state = 'completed' then 'success'
    when state = 'cancelled' then 'cancelled'
    when cause in ('step_timeout', 'job_timeout', 'deadline_exceeded', 'wait_limit') then 'timeout'
    when state = 'failed' then 'error'
end;

-- The fields of a result and of a webhook's event: ids and references, never what a job was given.
create function headrace.describe_result(
    event_id uuid, subject headrace.jobs, place headrace.lanes, inline_output boolean
) returns json
language sql stable
return headrace.with_field(json_strip_nulls(json_build_object(
    'event_id', event_id,
    'job_id', (subject).id,
    'run', (subject).run,
    'seq', (subject).seq,
    'tenant', (subject).tenant,
    'pipeline', (place).pipeline,
    'version', (place).version,
    'preset', (subject).preset,
    'state', (subject).state,
    'status', headrace.outcome((subject).state, (subject).cause),
    'output_ref', case
        when (subject).state = 'completed' then '/v1/jobs/' || (subject).id || '/result'
    end,
    'error', case when (subject).state = 'failed' then json_build_object(
        'code', (subject).error ->> 'code', 'message', (subject).error ->> 'message'
    ) end,
    -- The ends of its claims less their beginnings: each claim of an ended run has both.
    'execution_time_ms', case when (subject).finished_at is not null then (
        select coalesce(sum(1000 * date_part('epoch', event.at) * case
            when event.from_state = 'running' then 1
            when event.to_state = 'running' then -1
            else 0
        end), 0)::bigint
        from headrace.job_events as event
        where event.job = (subject).id and event.run = (subject).run
    ) end,
    'attempts', (
        select case
            when (subject).state = 'completed' then 1 + coalesce(max(tried.attempt), 0)
            else coalesce(max(tried.attempt), ((subject).started_at is not null)::integer)
        end
        from headrace.tries as tried
        where tried.job = (subject).id and tried.run = (subject).run
    ),
    'queued_at', headrace.as_text((subject).created_at),
    'started_at', headrace.as_text((subject).started_at),
    'completed_at', headrace.as_text((subject).finished_at),
    'correlation_id', (subject).correlation_id
)), 'output', case when inline_output and (subject).state = 'completed' then (
    select stored.output
    from headrace.steps as stored
    where stored.job = (subject).id and stored.run = (subject).run
    and stored.step = (subject).result_step and stored.item = '' and stored.state = 'completed'
    and stored.artifact is null and octet_length(stored.output::text) <= 65536
) end);

create function headrace.describe_failure(
    event_id uuid, subject headrace.jobs, place headrace.lanes
) returns json
language sql stable
return headrace.with_field(json_strip_nulls(json_build_object(
    'event_id', event_id,
    'job_id', (subject).id,
    'run', (subject).run,
    'tenant', (subject).tenant,
    'pipeline', (place).pipeline,
    'reason', (subject).cause,
    'error', json_build_object(
        'code', (subject).error ->> 'code', 'class', (subject).error ->> 'class',
        'message', (subject).error ->> 'message'
    ),
    'step', (subject).error ->> 'step',
    'attempts', (
        select dead.attempts from headrace.dead_letters as dead
        where dead.job = (subject).id and dead.run = (subject).run
    ),
    'lease_losses', (subject).lease_losses,
    'history', (
        select json_agg(
            json_build_object(
                'seq', event.seq, 'run', event.run, 'from', event.from_state,
                'to', event.to_state, 'reason', event.reason, 'at', headrace.as_text(event.at)
            )
            order by event.seq
        )
        from headrace.job_events as event
        where event.job = (subject).id and event.seq > (subject).seq - 20
    )
)), 'metadata', (subject).metadata);

-- An event as it is after its job was erased: that it happened, and nothing of what it was about.
-- What is dropped may hold a \u0000, on which all functions of JSON fail: that goes first.
create function headrace.without_content(payload json) returns json
language sql immutable parallel safe as $$
    select json_object_agg(
        key,
        case key
            when 'data' then headrace.without_content(value)
            when 'error' then json_build_object('code', value -> 'code')
            else value
        end
    )
    from json_each(
        regexp_replace(payload::text, '(?<!\\)((?:\\\\)*)\\u0000', '\1', 'g')::json
    )
    where key not in ('output', 'metadata')
$$;

-- --- when it is written --------------------------------------------------------------------------

-- Behind every statement that changes a job's state stands its row in job_events: whatever writes
-- that, writes this, and a path that ends a job cannot forget it. Whoever may write jobs need not be
-- let into the tables here.
create function headrace.write_outbox() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Most want to hear of ends: submissions and claims find out here that nobody listens to them.
    if not exists (select from fresh where to_state in ('completed', 'failed', 'cancelled'))
    and not exists (
        select from headrace.webhooks where events && array['job.queued', 'job.running']
    ) then
        return null;
    end if;
    -- Erasure writes old events again, without what they said.
    if current_setting('headrace.retention', true) = 'on' then
        return null;
    end if;
    insert into headrace.outbox (
        event_id, webhook, topic, endpoint, ordering_key, kind, payload, attributes, tenant, job,
        run
    )
    select
        target.event_id, target.webhook, target.topic, target.endpoint,
        case when target.topic is not null then event.job::text end,
        target.kind,
        case
            when target.kind = 'dead_letter'
            then headrace.describe_failure(target.event_id, subject, place)
            when target.kind = 'result'
            then headrace.describe_result(target.event_id, subject, place, pipeline.inline_output)
            else json_build_object(
                'type', target.kind, 'timestamp', headrace.as_text(event.at), 'data',
                headrace.describe_result(target.event_id, subject, place, pipeline.inline_output)
            )
        end,
        case when target.topic is not null then json_strip_nulls(json_build_object(
            'job_id', subject.id::text, 'run', subject.run::text, 'pipeline', place.pipeline,
            'kind', target.kind, 'priority', subject.priority::text,
            'status', headrace.outcome(subject.state, subject.cause),
            'tenant', subject.tenant, 'v', '1'
        )) end,
        subject.tenant, subject.id, subject.run
    from fresh as event
    join headrace.jobs as subject on subject.id = event.job
    join headrace.lanes as place on place.id = subject.lane
    left join headrace.pipelines as pipeline
        on pipeline.name = place.pipeline and pipeline.version = place.version
    cross join lateral (
        select
            gen_random_uuid() as event_id, webhook.id as webhook, null::text as topic,
            webhook.endpoint, 'job.' || event.to_state as kind
        from headrace.webhooks as webhook
        where webhook.job = event.job
        and webhook.disabled_at is null and 'job.' || event.to_state = any(webhook.events)
        union all
        select gen_random_uuid(), webhook.id, null, webhook.endpoint, 'job.' || event.to_state
        from headrace.webhooks as webhook
        where webhook.job is null and webhook.tenant = subject.tenant
        and (webhook.owner is null or webhook.owner = subject.owner)
        and webhook.disabled_at is null and 'job.' || event.to_state = any(webhook.events)
        union all
        select
            gen_random_uuid(), null, topic.name, topic.name,
            case topic.kind when 'results' then 'result' else 'dead_letter' end
        from headrace.topics as topic
        where (topic.kind = 'results' and event.to_state in ('completed', 'failed', 'cancelled'))
        or (topic.kind = 'dead-letters' and event.to_state = 'failed')
    ) as target
    where event.from_state is distinct from event.to_state;
    return null;
end $$;

-- Even a trigger that returns at once costs a submission a tenth (docs/adr/0012-outbox.md), so there
-- is none before the first subscription. Its table lock waits for open transactions that changed
-- jobs, and others wait behind it: it is given up soon, for whoever subscribes to try again.
create function headrace.open_outbox() returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
begin
    if exists (
        select from pg_trigger
        where tgrelid = 'headrace.job_events'::regclass and tgname = 'job_events_outbox'
    ) then
        return false;
    end if;
    create trigger job_events_outbox after insert on headrace.job_events
    referencing new table as fresh
    for each statement execute function headrace.write_outbox();
    return true;
exception when duplicate_object then
    return false;
end $$;

create function headrace.subscribe() returns trigger
language plpgsql as $$
begin
    perform headrace.open_outbox();
    return null;
end $$;

create trigger webhooks_subscribe before insert on headrace.webhooks
for each statement execute function headrace.subscribe();
create trigger topics_subscribe before insert on headrace.topics
for each statement execute function headrace.subscribe();

-- --- behind the wall -----------------------------------------------------------------------------

alter table headrace.webhooks enable row level security;
create policy webhooks_wall on headrace.webhooks using (headrace.may_see(tenant, owner));

alter table headrace.outbox enable row level security;
create policy outbox_wall on headrace.outbox using (
    current_user <> 'headrace_api' or exists (
        select from headrace.webhooks as owned where owned.id = webhook
    )
);

-- Answers that belong to idempotency keys are their owner's alone. Keys are taken behind the wall.
alter table headrace.request_keys enable row level security;
create policy request_keys_wall on headrace.request_keys using (headrace.may_see(tenant, owner));

create or replace function headrace.admit_api() returns void
language plpgsql as $$
begin
    grant usage on schema headrace to headrace_api;
    grant select on
        headrace.jobs, headrace.queued, headrace.steps, headrace.records, headrace.tries,
        headrace.progress, headrace.job_events, headrace.dead_letters, headrace.artifacts,
        headrace.lanes, headrace.pipelines, headrace.webhooks, headrace.outbox
    to headrace_api;
    grant select, insert, update, delete on headrace.request_keys to headrace_api;
end $$;

do $$
begin
    if to_regrole('headrace_api') is not null then
        perform headrace.admit_api();
    end if;
end $$;

-- --- limits of tenants ---------------------------------------------------------------------------

-- Submissions of pipelines that cost much are counted for themselves, too.
alter table headrace.tenant_rates
    drop constraint tenant_rates_kind,
    add constraint tenant_rates_kind check (kind in ('writes', 'reads', 'costly'));
