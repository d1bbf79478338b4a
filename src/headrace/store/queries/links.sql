-- name: read_link_place
-- What became of a job and its signal since a link was made, and whether the job was begun again in
-- another way than from where it stopped: then whoever has the link was asked something else. So it
-- was where an answer was taken that the present run has not taken over: a link is used once.
-- $1 job, $2 signal, $3 run of the link
select
    job.run, job.state, lane.pipeline, sent.expired, sent.received_at,
    job.run > $3 and (
        exists (
            select from headrace.job_events as event
            where event.job = job.id and event.run > $3 and event.to_state = 'queued'
            and event.from_state in ('completed', 'failed', 'cancelled')
            and (
                event.metadata -> 'force' is not null
                or event.metadata -> 'from_step' is not null
                or event.metadata -> 'override_outputs' is not null
            )
        )
        or sent.received_at is null and exists (
            select from headrace.signals as used
            where used.job = job.id and used.run between $3 and job.run - 1 and used.name = $2
            and not used.expired
        )
    ) as begun_anew
from headrace.jobs as job
join headrace.lanes as lane on lane.id = job.lane
left join headrace.signals as sent
    on sent.job = job.id and sent.run = job.run and sent.name = $2
where job.id = $1 and job.erased_at is null;

-- name: read_run
-- The present run of a job, and its pipeline.
-- $1 job
select job.run, lane.pipeline
from headrace.jobs as job
join headrace.lanes as lane on lane.id = job.lane
where job.id = $1;
