-- name: take_permits
-- Takes a portion of a tenant's permits for its present minute, or what is left of them; a new
-- minute begins where the last one is over. A tenant without a limit gets the portion always.
-- $1 tenant, $2 kind, $3 usual limit, $4 permits wanted
insert into headrace.tenant_rates as known (tenant, kind, window_at, taken, granted)
values ($1, $2, headrace.now(), least($3::integer, $4::integer), least($3, $4))
on conflict (tenant, kind) do update
set (window_at, taken, granted) = (
    select
        present.window_at, present.taken + part.granted, part.granted
    from (
        select
            case when is_over then excluded.window_at else known.window_at end as window_at,
            case when is_over then 0 else known.taken end as taken
        from (
            select known.window_at + interval '1 minute' <= excluded.window_at as is_over
        ) as age
    ) as present
    cross join lateral (
        select case
            when known.per_minute = 0 then $4
            else greatest(0, least($4, coalesce(known.per_minute, $3) - present.taken))
        end as granted
    ) as part
)
returning
    granted, coalesce(per_minute, $3) as per_minute,
    greatest(
        0, extract(epoch from window_at + interval '1 minute' - headrace.now())
    )::float8 as left_s;

-- name: set_limit
-- Gives a tenant a limit of its own, or the usual one again.
-- $1 tenant, $2 kind, $3 requests in a minute or null
insert into headrace.tenant_rates as known (tenant, kind, per_minute, window_at, taken, granted)
values ($1, $2, $3::integer, headrace.now(), 0, 0)
on conflict (tenant, kind) do update set per_minute = excluded.per_minute;
