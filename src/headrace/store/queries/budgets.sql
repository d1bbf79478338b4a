-- name: spend
-- Spends of a budget's present window, unless that would be more than the budget: then nothing is
-- spent, and it is said so. Where a part is 0, only what is spent already counts. Nothing comes back
-- where the window has no row yet.
-- $1 name, $2 tenant, $3 per (day or job), $4 job or null, $5 tokens, $6 money, $7 tokens of the
-- budget or null, $8 money of the budget or null
with bounds as materialized (
    select
        coalesce(own.tokens, shared.tokens, $7::numeric) as tokens,
        coalesce(own.money, shared.money, $8::numeric) as money
    from (values ($1::text, $2::text)) as asked (name, tenant)
    left join headrace.budget_settings as own
        on own.name = asked.name and own.tenant = asked.tenant
    left join headrace.budget_settings as shared
        on shared.name = asked.name and shared.tenant = ''
),
present as materialized (
    select budget.*
    from headrace.budgets as budget
    where budget.name = $1 and budget.tenant = $2 and budget.key = case
        when $3::text = 'job' then $4::uuid::text
        else to_char(headrace.now() at time zone 'UTC', 'YYYY-MM-DD')
    end
    for no key update
),
judged as materialized (
    select
        present.*, bounds.tokens as most_tokens, bounds.money as most_money,
        (
            bounds.tokens is null
            or present.tokens < bounds.tokens and present.tokens + $5::numeric <= bounds.tokens
        ) and (
            bounds.money is null
            or present.money < bounds.money and present.money + $6::numeric <= bounds.money
        ) as fits
    from present
    cross join bounds
),
spent as (
    update headrace.budgets as budget
    set tokens = budget.tokens + case when judged.fits then $5 else 0 end,
        money = budget.money + case when judged.fits then $6 else 0 end,
        tokens_limit = judged.most_tokens, money_limit = judged.most_money,
        warned_at = case
            when budget.warned_at is null and part.spent >= 0.8 then headrace.now()
            else budget.warned_at
        end,
        exhausted_at = case
            when budget.exhausted_at is null and (not judged.fits or part.spent >= 1)
            then headrace.now() else budget.exhausted_at
        end
    from judged
    cross join lateral (
        select greatest(
            (judged.tokens + case when judged.fits then $5 else 0 end)
            / nullif(judged.most_tokens, 0),
            (judged.money + case when judged.fits then $6 else 0 end)
            / nullif(judged.most_money, 0)
        ) as spent
    ) as part
    where budget.name = judged.name and budget.tenant = judged.tenant
    and budget.key = judged.key
    returning
        budget.key, judged.fits, budget.tokens, budget.money, budget.tokens_limit,
        budget.money_limit,
        extract(epoch from budget.ends_at - headrace.now())::float8 as renews_s,
        judged.warned_at is null and budget.warned_at is not null as warns,
        judged.exhausted_at is null and budget.exhausted_at is not null as exhausts
)
select * from spent;

-- name: open_window
-- Makes the row of a budget's present window where there is none.
-- $1 name, $2 tenant, $3 per (day or job), $4 job or null
insert into headrace.budgets (name, tenant, per, key, starts_at, ends_at)
select
    $1, $2, $3::text,
    case when $3 = 'job' then $4::uuid::text else to_char(today.at, 'YYYY-MM-DD') end,
    case when $3 = 'job' then headrace.now() else today.at at time zone 'UTC' end,
    case when $3 = 'day' then (today.at + interval '1 day') at time zone 'UTC' end
from (select date_trunc('day', headrace.now() at time zone 'UTC') as at) as today
on conflict (name, tenant, key) do nothing;

-- name: settle
-- Adds to what is spent in a window the difference to what was reserved; it may pass the budget.
-- $1 name, $2 tenant, $3 key, $4 tokens, $5 money
update headrace.budgets as budget
set tokens = after.tokens, money = after.money,
    warned_at = case
        when budget.warned_at is null and part.spent >= 0.8 then headrace.now()
        else budget.warned_at
    end,
    exhausted_at = case
        when budget.exhausted_at is null and part.spent >= 1 then headrace.now()
        else budget.exhausted_at
    end
from (
    select
        name, tenant, key, greatest(0, tokens + $4::numeric) as tokens,
        greatest(0, money + $5::numeric) as money, warned_at, exhausted_at, tokens_limit,
        money_limit
    from headrace.budgets
    where name = $1 and tenant = $2 and key = $3
    for no key update
) as after
cross join lateral (
    select greatest(
        after.tokens / nullif(after.tokens_limit, 0), after.money / nullif(after.money_limit, 0)
    ) as spent
) as part
where budget.name = after.name and budget.tenant = after.tenant and budget.key = after.key
returning
    budget.key, true as fits, budget.tokens, budget.money, budget.tokens_limit,
    budget.money_limit, extract(epoch from budget.ends_at - headrace.now())::float8 as renews_s,
    after.warned_at is null and budget.warned_at is not null as warns,
    after.exhausted_at is null and budget.exhausted_at is not null as exhausts;

-- name: list_budgets
-- What is spent in the windows that are open, the newest first, and budgets that were set.
-- $1 most rows
select
    coalesce(budget.name, given.name) as name, coalesce(budget.tenant, given.tenant) as tenant,
    budget.per, budget.key, budget.starts_at, budget.ends_at,
    coalesce(budget.tokens, 0) as tokens, coalesce(budget.money, 0) as money,
    coalesce(own.tokens, shared.tokens, budget.tokens_limit) as tokens_limit,
    coalesce(own.money, shared.money, budget.money_limit) as money_limit,
    budget.warned_at, budget.exhausted_at,
    coalesce(own.set_by, shared.set_by) as set_by, coalesce(own.reason, shared.reason) as reason,
    coalesce(own.set_at, shared.set_at) as set_at
from (
    select *
    from headrace.budgets
    where starts_at > headrace.now() - interval '30 days'
    and (ends_at is null or ends_at > headrace.now())
    order by starts_at desc
    limit $1
) as budget
full join headrace.budget_settings as given
    on given.name = budget.name and given.tenant = budget.tenant
left join headrace.budget_settings as own
    on own.name = coalesce(budget.name, given.name)
    and own.tenant = coalesce(budget.tenant, given.tenant)
left join headrace.budget_settings as shared
    on shared.name = coalesce(budget.name, given.name) and shared.tenant = ''
order by 1, 2, budget.starts_at desc, budget.key
limit $1;

-- name: set_budget
-- Sets the amounts of a budget in place of the code's; null leaves an amount to the code.
-- $1 name, $2 tenant or '', $3 tokens, $4 money, $5 by, $6 reason
insert into headrace.budget_settings (name, tenant, tokens, money, set_by, reason)
values ($1, $2, $3, $4, $5, $6)
on conflict (name, tenant) do update
set tokens = excluded.tokens, money = excluded.money, set_by = excluded.set_by,
    reason = excluded.reason, set_at = excluded.set_at;

-- name: clear_budget
-- Leaves the amounts of a budget to the code again.
-- $1 name, $2 tenant or ''
delete from headrace.budget_settings where name = $1 and tenant = $2;

-- name: warn_again
-- Lets the windows of a budget that are open warn anew: its amounts are others now.
-- $1 name, $2 tenant or '' for all
update headrace.budgets
set warned_at = null, exhausted_at = null
where name = $1 and ($2 = '' or tenant = $2)
and (warned_at is not null or exhausted_at is not null)
and starts_at > headrace.now() - interval '30 days'
and (ends_at is null or ends_at > headrace.now());

-- name: prune_budgets
-- Forgets some windows that began long ago.
-- $1 age, $2 most rows
delete from headrace.budgets
where (name, tenant, key) in (
    select name, tenant, key
    from headrace.budgets
    where starts_at < headrace.now() - $1::interval
    order by starts_at
    limit $2
    for update skip locked
);
