-- Over the large tables: 40,000 events that were sent, 10,000 for a dead host, one for each of 300
-- other hosts, 10,000 messages that wait. Of the webhooks 2,000 are jobs' own.
insert into headrace.webhooks (tenant, owner, job, url, created_by)
select 'tenant ' || n % 100, 'owner', null, 'https://' || n || '.example/hook', 'test'
from generate_series(1, 300) as n
union all
select 'tenant', owner, id, 'https://own.example/' || n, 'test' from made where n <= 2000;

insert into headrace.webhooks (tenant, owner, url, created_by)
values ('tenant', 'owner', 'https://dead.example/hook', 'test');

insert into headrace.topics (kind, name) values ('results', 'results'), ('dead-letters', 'dead');

insert into headrace.outbox (webhook, endpoint, kind, payload, tenant, job, run, sent_at)
select webhook.id, webhook.endpoint, 'job.completed', '{}', 'tenant', made.id, 1, now()
from made cross join headrace.webhooks as webhook
where made.n <= 40000 and webhook.url = 'https://dead.example/hook';

insert into headrace.outbox (webhook, endpoint, kind, payload, tenant, job, run)
select webhook.id, webhook.endpoint, 'job.completed', '{}', 'tenant', made.id, 1
from made cross join headrace.webhooks as webhook
where made.n <= 10000 and webhook.url = 'https://dead.example/hook';

insert into headrace.outbox (webhook, endpoint, kind, payload, tenant, job, run)
select id, endpoint, 'job.completed', '{}', tenant, gen_random_uuid(), 1
from headrace.webhooks where tenant <> 'tenant';

insert into headrace.outbox (topic, endpoint, ordering_key, kind, payload, tenant, job, run)
select 'results', 'results', id, 'result', '{}', 'tenant', id, 1
from made where n between 10001 and 20000;
