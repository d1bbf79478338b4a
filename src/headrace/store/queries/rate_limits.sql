-- name: reserve
-- Takes from a bucket for several calls, one after the other, in the order in which they came: each
-- goes now, goes after a short wait, or is sent away with the time of its turn. Nothing comes back
-- where there is no such bucket yet. What others of the process gave back goes in before.
-- A crash of the server may forget the last half second of it: nothing waits for the disk.
-- $1 name, $2 tenant, $3 requests float8[], $4 tokens float8[], $5 is back boolean[]: was sent away
-- before, $6 requests, $7 tokens or null, $8 per seconds, $9 burst seconds, $10 concurrent or null,
-- $11 requests given back, $12 tokens given back, $13 longest wait in place, $14 seconds before its
-- turn at which a call is to come back
with recursive number as materialized (
    select
        requests / per_s as requests_rate, tokens / per_s as tokens_rate,
        requests / per_s * burst_s as requests_most, tokens / per_s * burst_s as tokens_most,
        concurrent
    from (
        select
            coalesce(own.requests, shared.requests, $6::float8) as requests,
            coalesce(own.tokens, shared.tokens, $7::float8) as tokens,
            coalesce(own.per_s, shared.per_s, $8::float8) as per_s,
            coalesce(own.burst_s, shared.burst_s, $9::float8) as burst_s,
            coalesce(own.concurrent, shared.concurrent, $10::integer) as concurrent
        from (values ($1::text, $2::text)) as asked (name, tenant)
        left join headrace.rate_limit_settings as own
            on own.name = asked.name and own.tenant = asked.tenant
        left join headrace.rate_limit_settings as shared
            on shared.name = asked.name and shared.tenant = ''
    ) as chosen
),
bucket as materialized (
    select bucket.*
    from headrace.rate_limits as bucket
    where bucket.name = $1 and bucket.tenant = $2
    for no key update
),
-- The time when the row is ours, not when we began to wait for it.
clock as materialized (
    select
        bucket.*, at_once.off,
        headrace.now() + (clock_timestamp() - statement_timestamp()) as now
    from bucket
    cross join (select set_config('synchronous_commit', 'off', true) as off) as at_once
),
start as materialized (
    select
        clock.now, greatest(0, extract(epoch from clock.at - clock.now))::float8 as held_s,
        least(
            number.requests_most,
            clock.requests_left + $11::float8 + number.requests_rate * age.s
        ) as requests_left,
        least(
            coalesce(number.tokens_most, 0),
            clock.tokens_left + $12::float8 + coalesce(number.tokens_rate, 0) * age.s
        ) as tokens_left,
        extract(epoch from clock.line_requests_at - clock.now)::float8 as line_requests_s,
        extract(epoch from clock.line_tokens_at - clock.now)::float8 as line_tokens_s,
        clock.saved_tokens,
        greatest(
            -1, least(1e9, extract(epoch from clock.saved_until - clock.now))
        )::float8 as saved_s
    from clock
    cross join number
    cross join lateral (
        select greatest(0, extract(epoch from clock.now - clock.at))::float8 as s
    ) as age
),
-- What a call takes is taken at its turn, not before: nothing that flows in until then is lost to
-- the bucket's brim, but nothing that would flow over it is counted, either.
served as (
    select
        0 as place, requests_left, tokens_left, line_requests_s, line_tokens_s, saved_tokens,
        saved_s, true as goes, 0::float8 as wait_s
    from start
    union all
    select
        before.place + 1,
        case when fate.goes and due.requests > 0 then
            least(before.requests_left, number.requests_most - number.requests_rate * due.later_s)
            - due.requests
        else before.requests_left end,
        case when fate.goes and due.tokens > 0 then
            least(before.tokens_left, number.tokens_most - number.tokens_rate * due.later_s)
            - due.tokens
        else before.tokens_left end,
        case when fate.goes then before.line_requests_s else turn.requests_s end,
        case when fate.goes then before.line_tokens_s else turn.tokens_s end,
        case
            when fate.goes and due.tokens >= before.saved_tokens then 0
            when fate.saves then least(due.tokens, number.tokens_most)
            else before.saved_tokens
        end,
        case
            when fate.goes and due.tokens >= before.saved_tokens then -1
            when fate.saves then turn.s + 5
            else before.saved_s
        end,
        fate.goes,
        case when fate.goes then due.wait_s else greatest(0, turn.s - $14::float8) end
    from served as before
    cross join start
    cross join number
    cross join lateral (
        select
            asked.*,
            start.held_s + asked.later_s as wait_s
        from (
            select
                amount.*,
                greatest(
                    0,
                    case when amount.requests > 0 then
                        (least(amount.requests, number.requests_most) - before.requests_left)
                        / number.requests_rate
                    end,
                    case when amount.tokens > 0 then
                        (least(amount.tokens, number.tokens_most) - amount.tokens_left)
                        / number.tokens_rate
                    end
                ) as later_s
            from (
                select
                    ($3::float8[])[before.place + 1] as requests,
                    case when number.tokens_rate is null then 0
                    else ($4::float8[])[before.place + 1] end as tokens,
                    before.tokens_left - case
                        when before.saved_s > 0
                        and ($4::float8[])[before.place + 1] < before.saved_tokens
                        then before.saved_tokens else 0
                    end as tokens_left
            ) as amount
        ) as asked
    ) as due
    cross join lateral (
        select
            each.*,
            least(1e9, greatest(
                case when due.requests > 0 then each.requests_s end,
                case when due.tokens > 0 then each.tokens_s end,
                due.wait_s
            )) as s
        from (
            select  -- 30 years at most: a time that cannot be stored would be everybody's error
                least(1e9, greatest(
                    before.line_requests_s,
                    start.held_s - before.requests_left / number.requests_rate
                ) + due.requests / number.requests_rate) as requests_s,
                least(1e9, coalesce(
                    greatest(
                        before.line_tokens_s,
                        start.held_s - due.tokens_left / number.tokens_rate
                    ) + due.tokens / number.tokens_rate,
                    before.line_tokens_s
                )) as tokens_s
        ) as each
    ) as turn
    cross join lateral (
        select
            choice.goes,
            not choice.goes and before.saved_s <= 0
            and coalesce(due.tokens / number.tokens_rate > $13, false) as saves
        from (
            select due.wait_s <= $13::float8 and (
                due.wait_s <= 0
                or ($5::boolean[])[before.place + 1]
                or greatest(before.line_requests_s, before.line_tokens_s) <= $13
            ) as goes
        ) as choice
    ) as fate
    where before.place < cardinality($3::float8[])
),
kept as (
    update headrace.rate_limits as bucket
    set requests_left = last.requests_left, tokens_left = coalesce(last.tokens_left, 0),
        at = greatest(start.now, bucket.at),
        line_requests_at = start.now + last.line_requests_s * interval '1 s',
        line_tokens_at = start.now + last.line_tokens_s * interval '1 s',
        saved_tokens = last.saved_tokens,
        saved_until = start.now + last.saved_s * interval '1 s',
        requests = $6, tokens = $7, per_s = $8, burst_s = $9, concurrent = $10::integer
    from served as last
    cross join start
    where bucket.name = $1 and bucket.tenant = $2 and last.place = cardinality($3::float8[])
)
select served.goes, served.wait_s, start.held_s > 0 as is_held, number.concurrent
from served
cross join start
cross join number
where served.place > 0
or cardinality($3::float8[]) = 0
order by served.place;

-- name: open_bucket
-- Makes a full bucket where there is none.
-- $1 name, $2 tenant, $3 requests, $4 tokens or null, $5 per seconds, $6 burst seconds,
-- $7 concurrent or null
insert into headrace.rate_limits (
    name, tenant, requests_left, tokens_left, at, line_requests_at, line_tokens_at,
    requests, tokens, per_s, burst_s, concurrent
)
select
    $1, $2, coalesce(own.requests, shared.requests, $3::float8) * full_for.share,
    coalesce(own.tokens, shared.tokens, $4::float8, 0) * full_for.share, headrace.now(),
    headrace.now(), headrace.now(), $3, $4, $5, $6, $7::integer
from (values ($1::text, $2::text)) as asked (name, tenant)
left join headrace.rate_limit_settings as own
    on own.name = asked.name and own.tenant = asked.tenant
left join headrace.rate_limit_settings as shared
    on shared.name = asked.name and shared.tenant = ''
cross join lateral (
    select
        coalesce(own.burst_s, shared.burst_s, $6::float8)
        / coalesce(own.per_s, shared.per_s, $5::float8) as share
) as full_for
on conflict (name, tenant) do nothing;

-- name: hold
-- Empties a bucket and holds it back for some time, for everybody; returns the seconds until it
-- fills again. A longer hold stands.
-- $1 name, $2 tenant, $3 for how long
update headrace.rate_limits
set requests_left = least(requests_left, 0), tokens_left = least(tokens_left, 0),
    at = greatest(at, headrace.now() + $3::interval)
where name = $1 and tenant = $2
returning greatest(0, extract(epoch from at - headrace.now()))::float8 as held_s;

-- name: take_slot
-- Takes a free slot of a limit on calls at a time; nothing comes back where none is free, or where
-- another took this one meanwhile. A slot of a worker that is gone is free. Said twice by one holder
-- it is the same slot.
-- $1 name, $2 tenant, $3 concurrent, $4 worker or null, $5 job or null, $6 lasts, without a
-- worker, $7 holder
with mine as materialized (
    select slot, holder
    from headrace.rate_slots
    where name = $1 and tenant = $2 and holder = $7::bigint
),
free as (
    select number.slot
    from generate_series(1, $3::integer) as number (slot)
    where not exists (select from mine)
    and not exists (
        select from headrace.rate_slots as taken
        where taken.name = $1 and taken.tenant = $2 and taken.slot = number.slot
        and (
            taken.expires_at > headrace.now()
            or exists (
                select from headrace.workers as worker
                where worker.id = taken.worker
                and worker.lost_at is null and worker.stopped_at is null
            )
        )
    )
    order by random()
    limit 1
),
taking as (
    insert into headrace.rate_slots as taken (name, tenant, slot, holder, worker, job, expires_at)
    select
        $1, $2, free.slot, $7, $4::integer, $5::uuid,
        case when $4 is null then headrace.now() + $6::interval end
    from free
    on conflict (name, tenant, slot) do update
    set holder = excluded.holder, worker = excluded.worker, job = excluded.job,
        taken_at = excluded.taken_at, expires_at = excluded.expires_at
    where taken.expires_at <= headrace.now()
    or taken.expires_at is null and not exists (
        select from headrace.workers as worker
        where worker.id = taken.worker
        and worker.lost_at is null and worker.stopped_at is null
    )
    returning taken.slot, taken.holder
)
select slot, holder from mine
union all
select slot, holder from taking;

-- name: free_slot
-- Gives a holder's slot back, if it has one.
-- $1 name, $2 tenant, $3 holder
delete from headrace.rate_slots
where name = $1 and tenant = $2 and holder = $3;

-- name: list_limits
-- Every limit that was used or set, with its numbers and what is left.
-- $1 most rows
select
    coalesce(bucket.name, given.name) as name,
    coalesce(bucket.tenant, given.tenant) as tenant,
    coalesce(own.requests, shared.requests, bucket.requests) as requests,
    coalesce(own.tokens, shared.tokens, bucket.tokens) as tokens,
    coalesce(own.per_s, shared.per_s, bucket.per_s) as per_s,
    coalesce(own.burst_s, shared.burst_s, bucket.burst_s) as burst_s,
    coalesce(own.concurrent, shared.concurrent, bucket.concurrent) as concurrent,
    filled.requests_left, filled.tokens_left,
    case when bucket.at > headrace.now() then bucket.at end as held_until,
    (
        select count(*)
        from headrace.rate_slots as taken
        where taken.name = bucket.name and taken.tenant = bucket.tenant
        and (
            taken.expires_at > headrace.now()
            or exists (
                select from headrace.workers as worker
                where worker.id = taken.worker
                and worker.lost_at is null and worker.stopped_at is null
            )
        )
    )::integer as slots_taken,
    coalesce(own.set_by, shared.set_by) as set_by,
    coalesce(own.reason, shared.reason) as reason,
    coalesce(own.set_at, shared.set_at) as set_at
from headrace.rate_limits as bucket
full join headrace.rate_limit_settings as given
    on given.name = bucket.name and given.tenant = bucket.tenant
left join headrace.rate_limit_settings as own
    on own.name = coalesce(bucket.name, given.name)
    and own.tenant = coalesce(bucket.tenant, given.tenant)
left join headrace.rate_limit_settings as shared
    on shared.name = coalesce(bucket.name, given.name) and shared.tenant = ''
left join lateral (
    select
        least(
            rate.requests * rate.burst_s,
            bucket.requests_left + rate.requests * rate.age_s
        ) as requests_left,
        case when rate.tokens is not null then
            least(rate.tokens * rate.burst_s, bucket.tokens_left + rate.tokens * rate.age_s)
        end as tokens_left
    from (
        select
            coalesce(own.requests, shared.requests, bucket.requests) / each.per_s as requests,
            coalesce(own.tokens, shared.tokens, bucket.tokens) / each.per_s as tokens,
            coalesce(own.burst_s, shared.burst_s, bucket.burst_s) as burst_s,
            greatest(0, extract(epoch from headrace.now() - bucket.at))::float8 as age_s
        from (
            select coalesce(own.per_s, shared.per_s, bucket.per_s) as per_s
        ) as each
    ) as rate
) as filled on bucket.name is not null
order by 1, 2
limit $1;

-- name: set_limit
-- Sets numbers of a limit in place of the code's; null leaves a number to the code.
-- $1 name, $2 tenant or '', $3 requests, $4 tokens, $5 per seconds, $6 burst seconds,
-- $7 concurrent, $8 by, $9 reason
insert into headrace.rate_limit_settings (
    name, tenant, requests, tokens, per_s, burst_s, concurrent, set_by, reason
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (name, tenant) do update
set requests = excluded.requests, tokens = excluded.tokens, per_s = excluded.per_s,
    burst_s = excluded.burst_s, concurrent = excluded.concurrent, set_by = excluded.set_by,
    reason = excluded.reason, set_at = excluded.set_at;

-- name: clear_limit
-- Leaves all numbers of a limit to the code again.
-- $1 name, $2 tenant or ''
delete from headrace.rate_limit_settings where name = $1 and tenant = $2;

-- name: prune_limits
-- Forgets some buckets that were not used for long: they are full, and are made anew.
-- $1 age, $2 most rows
delete from headrace.rate_limits
where (name, tenant) in (
    select name, tenant
    from headrace.rate_limits
    where at < headrace.now() - greatest($1::interval, burst_s * interval '1 s')
    limit $2
    for update skip locked
);

-- name: prune_slots
-- Forgets some slots that nobody holds any more.
-- $1 most rows
delete from headrace.rate_slots
where (name, tenant, slot) in (
    select taken.name, taken.tenant, taken.slot
    from headrace.rate_slots as taken
    where taken.expires_at < headrace.now()
    or taken.expires_at is null and not exists (
        select from headrace.workers as worker
        where worker.id = taken.worker
        and worker.lost_at is null and worker.stopped_at is null
    )
    limit $1
    for update skip locked
);
