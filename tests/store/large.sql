-- 60,000 jobs that completed, 20,000 that are due, 20,000 for tomorrow, 10,000 that run in claims of
-- 100, in five lanes. Of them 220 are of a small owner and 5,500 of a middling one.
insert into headrace.workers (
    id, host, pid, version, queues, carries, concurrency, heartbeat_at, expires_at
)
select n, 'test', n, '1', '{default}', '{}', 10, now(), now() + interval '1 hour'
from generate_series(1, 50) as n;

insert into headrace.lanes (queue, pipeline, version)
select 'default', 'pipe ' || n, '1.0.0' from generate_series(1, 5) as n;

create temporary table made as
select
    (lpad(to_hex(1700000000000 + n), 12, '0') || '7000' || '8' || lpad(to_hex(n), 15, '0'))::uuid as id,
    n, 1 + n % 5 as lane,
    case
        when n <= 60000 then 'completed'
        when n <= 100000 then 'queued'
        else 'running'
    end as state,
    case when n % 500 = 0 then 'small' when n % 20 = 1 then 'middling' else 'owner' end as owner,
    now() - interval '1 hour' + n * interval '1 ms'
        + case when n between 80001 and 100000
            then interval '1 day' else interval '0' end as due_at,
    1000 + n / 100 as token
from generate_series(1, 110000) as n;

insert into headrace.jobs (
    id, lane, tenant, owner, state, priority, due_at, rank, wait_reason, seq, token, worker, input,
    claimed_at, finished_at
)
select
    id, lane, 'tenant', owner, state, 5, due_at, due_at - interval '5 min', 'new',
    case state when 'queued' then 1 when 'running' then 2 else 3 end,
    case when state <> 'queued' then token end, case when state = 'running' then 1 + n % 50 end,
    '1', now(), case when state = 'completed' then now() end
from made;

insert into headrace.queued (job, lane, ready, share, rank, due_at, deadline)
select id, lane, n <= 80000, headrace.share_of('tenant'), due_at - interval '5 min', due_at,
    case when n % 10 = 0 then due_at + interval '2 days' end
from made where state = 'queued';

insert into headrace.claims (token, worker, jobs)
select token, min(1 + n % 50), array_agg(id) from made where state = 'running' group by token;

insert into headrace.steps (
    job, run, step, item, state, position, attempts, worker, token, latency_us, output
)
select id, 1, 'first', '', 'completed', 0, 1, 1, token, 1, '1' from made where state <> 'queued';

insert into headrace.progress (job, step, item, run, worker, token, recorded)
select id, 'second', '', 1, 1, token, true from made where state = 'running';

insert into headrace.job_events (job, seq, run, to_state, reason)
select id, 1, 1, 'queued', 'submitted' from made;
