-- name: open_outbox
-- Makes the trigger that writes events, where nothing was subscribed before.
select headrace.open_outbox();

-- name: claim_webhooks
-- Takes open events that are due for a relay, a few of each endpoint and not too many of a tenant:
-- however many wait for hosts that are dead, others are not behind them. Visits endpoints in their
-- order from a place on, so that none is left out for ever. The first row says where it stopped:
-- null at the end; it has an event only where one was taken.
-- $1 relay uuid, $2 lease, $3 after this endpoint, $4 most endpoints to visit, $5 most events of one
-- endpoint that may be under way, $6 endpoints with some text[], $7 how many integer[], $8 most rows,
-- $9 most events of one tenant that may be under way, $10 tenants with some text[], $11 how many
with recursive visited as (
    (
        select endpoint, 1 as number
        from headrace.outbox
        where webhook is not null and sent_at is null and given_up_at is null and endpoint > $3::text
        order by endpoint
        limit 1
    )
    union all
    select
        (
            select later.endpoint
            from headrace.outbox as later
            where later.webhook is not null and later.sent_at is null
            and later.given_up_at is null and later.endpoint > visited.endpoint
            order by later.endpoint
            limit 1
        ),
        visited.number + 1
    from visited
    where visited.endpoint is not null and visited.number < $4::integer
),
room as (
    select visited.endpoint, $5::integer - coalesce(busy.number, 0) as free
    from visited
    left join unnest($6::text[], $7::integer[]) as busy (endpoint, number)
        on busy.endpoint = visited.endpoint
    where visited.endpoint is not null
    order by visited.endpoint
),
crowd as materialized (
    select tenant, number from unnest($10::text[], $11::integer[]) as given (tenant, number)
),
full_up as materialized (
    select coalesce(array_agg(tenant), '{}') as tenants from crowd where number >= $9::integer
),
due as (
    select
        event.id, room.endpoint,
        row_number() over (partition by event.tenant order by room.endpoint, event.id)
            + coalesce((select number from crowd where crowd.tenant = event.tenant), 0) as number
    from room
    cross join lateral (
        select waiting.id, waiting.tenant
        from headrace.outbox as waiting
        where waiting.webhook is not null and waiting.sent_at is null
        and waiting.given_up_at is null
        and waiting.endpoint = room.endpoint and waiting.due_at <= headrace.now()
        and (waiting.leased_until is null or waiting.leased_until <= headrace.now())
        and not waiting.tenant = any((select tenants from full_up)::text[])
        order by waiting.due_at, waiting.id
        limit greatest(0, room.free)
    ) as event
),
picked as materialized (
    select id, endpoint from due where number <= $9::integer order by endpoint, id limit $8::integer
),
locked as materialized (
    select event.id
    from picked
    join headrace.outbox as event on event.id = picked.id
    where event.sent_at is null and event.given_up_at is null
    and (event.leased_until is null or event.leased_until <= headrace.now())
    for no key update of event skip locked
),
taken as (
    update headrace.outbox as event
    set leased_until = headrace.now() + $2::interval, leased_by = $1::uuid
    from locked
    where event.id = locked.id
    returning event.*
),
place as (
    select case
        when (select count(*) from picked) = $8::integer
        then (select max(endpoint) from picked)
        when (select count(*) from visited where endpoint is not null) = $4::integer
        then (select max(endpoint) from visited)
    end as stopped_at
)
select
    place.stopped_at, taken.id, taken.event_id, taken.kind, taken.endpoint, taken.payload::text,
    taken.attributes::text, taken.ordering_key, taken.attempts, taken.created_at, taken.tenant,
    taken.job, taken.run, taken.webhook, webhook.url, webhook.key_generation,
    webhook.previous_until, taken.topic
from place
left join taken on true
left join headrace.webhooks as webhook
    on webhook.id = taken.webhook and webhook.disabled_at is null;

-- name: claim_topics
-- Takes open messages that are due for a relay, of topics under which it has none. Of one job only
-- the first leaves: the next one when that is sent, so that no two are ever under way.
-- $1 relay uuid, $2 lease, $3 topics under way text[], $4 most rows of one topic
with recursive visited as (
    (
        select endpoint
        from headrace.outbox
        where topic is not null and sent_at is null and given_up_at is null
        order by endpoint
        limit 1
    )
    union all
    select (
        select later.endpoint
        from headrace.outbox as later
        where later.topic is not null and later.sent_at is null and later.given_up_at is null
        and later.endpoint > visited.endpoint
        order by later.endpoint
        limit 1
    )
    from visited
    where visited.endpoint is not null
),
picked as materialized (
    select due.id
    from visited
    cross join lateral (
        select event.id
        from headrace.outbox as event
        where event.topic is not null and event.sent_at is null and event.given_up_at is null
        and event.endpoint = visited.endpoint and event.due_at <= headrace.now()
        and (event.leased_until is null or event.leased_until <= headrace.now())
        and (event.job is null or not exists (
            select from headrace.outbox as earlier
            where earlier.job = event.job and earlier.endpoint = event.endpoint
            and earlier.topic is not null and earlier.sent_at is null
            and earlier.given_up_at is null and earlier.id < event.id
        ))
        order by event.due_at, event.id
        limit $4::integer
        for no key update of event skip locked
    ) as due
    where visited.endpoint is not null and not visited.endpoint = any($3::text[])
),
taken as (
    update headrace.outbox as event
    set leased_until = headrace.now() + $2::interval, leased_by = $1::uuid
    from picked
    where event.id = picked.id
    returning event.*
)
select
    null::text as stopped_at, id, event_id, kind, endpoint, payload::text, attributes::text,
    ordering_key, attempts, created_at, tenant, job, run, webhook, null::text as url,
    null::integer as key_generation, null::timestamptz as previous_until, topic
from taken
order by endpoint, id;

-- name: mark_sent
-- Receivers have these events: so whoever holds them by now.
-- $1 ids bigint[], $2 message ids text[]
update headrace.outbox as event
set sent_at = headrace.now(), message_id = given.message_id, attempts = least(event.attempts, 32766) + 1,
    last_error = null, leased_until = null, leased_by = null
from unnest($1::bigint[], $2::text[]) as given (id, message_id)
where event.id = given.id and event.sent_at is null and event.given_up_at is null
returning event.id;

-- name: mark_failed
-- Tries failed, of events that this relay still holds: due again after a wait, given up without one.
-- $1 ids bigint[], $2 relay, $3 errors text[], $4 waits interval[]
update headrace.outbox as event
set attempts = least(event.attempts, 32766) + 1, last_error = given.error,
    due_at = case
        when given.wait is null then event.due_at else headrace.now() + given.wait
    end,
    given_up_at = case when given.wait is null then headrace.now() end,
    leased_until = null, leased_by = null
from unnest($1::bigint[], $3::text[], $4::interval[]) as given (id, error, wait)
where event.id = given.id and event.leased_by = $2::uuid and event.sent_at is null
and event.given_up_at is null
returning event.id;

-- name: release_events
-- Gives back what a relay holds and will not send.
-- $1 relay, $2 ids bigint[]
update headrace.outbox
set leased_until = null, leased_by = null
where id = any($2::bigint[]) and leased_by = $1::uuid;

-- name: disable_webhook
-- $1 id, $2 reason
update headrace.webhooks
set disabled_at = headrace.now(), disabled_reason = $2::text
where id = $1::uuid and disabled_at is null
returning id;

-- name: give_up_webhook
-- Gives up all open events of a webhook.
-- $1 id, $2 why
update headrace.outbox
set given_up_at = headrace.now(), last_error = $2::text, leased_until = null, leased_by = null
where webhook = $1::uuid and sent_at is null and given_up_at is null
returning id;

-- name: is_silent
-- Whether a webhook took nothing since a time. The newest events are looked at first.
-- $1 id, $2 time
select not exists (
    select from (
        select sent_at from headrace.outbox where webhook = $1::uuid order by id desc
    ) as event
    where event.sent_at >= $2::timestamptz
);

-- name: drop_webhook
-- Deletes all events of a webhook.
-- $1 id
delete from headrace.outbox where webhook = $1::uuid;

-- name: set_topic
-- Has messages of a kind written for a topic.
-- $1 kind, $2 name
insert into headrace.topics as topic (kind, name) values ($1::text, $2::text)
on conflict (kind) do update set name = excluded.name where topic.name <> excluded.name;

-- name: unset_topic
-- Writes no more messages of a kind; what waits is still sent.
-- $1 kind
delete from headrace.topics where kind = $1::text;

-- name: measure_outbox
-- For how long the message of a topic that waits longest has waited, and by how much the webhook's
-- event that is most overdue is. One probe for each endpoint.
with recursive visited as (
    (
        select endpoint, due_at
        from headrace.outbox
        where webhook is not null and sent_at is null and given_up_at is null
        order by endpoint, due_at
        limit 1
    )
    union all
    select next.endpoint, next.due_at
    from visited
    cross join lateral (
        select later.endpoint, later.due_at
        from headrace.outbox as later
        where later.webhook is not null and later.sent_at is null
        and later.given_up_at is null and later.endpoint > visited.endpoint
        order by later.endpoint, later.due_at
        limit 1
    ) as next
)
select
    greatest(0, extract(epoch from headrace.now() - (
        select created_at
        from headrace.outbox
        where topic is not null and sent_at is null and given_up_at is null
        order by id
        limit 1
    )))::float8 as topics_s,
    greatest(0, extract(epoch from headrace.now() - (select min(due_at) from visited)))::float8
        as webhooks_s;

-- name: prune_outbox
-- Deletes one page of what was sent or given up long ago. Ids are in order of time, so that the
-- primary key is the index. Returns where the next page begins: null at the end.
-- $1 after this id, $2 age of what was sent, $3 age of what was given up, $4 rows in a page
with page as materialized (
    select id, sent_at, given_up_at, created_at
    from headrace.outbox
    where id > $1::bigint
    order by id
    limit $4::integer
),
gone as (
    delete from headrace.outbox as event
    using page
    where event.id = page.id
    and (
        page.sent_at < headrace.now() - $2::interval
        or page.given_up_at < headrace.now() - $3::interval
    )
    returning event.id
)
select
    (select count(*) from gone)::integer as removed,
    case
        when (select count(*) from page) = $4::integer
        and (select max(created_at) from page)
            < headrace.now() - least($2::interval, $3::interval)
        then (select max(id) from page)
    end as next;
