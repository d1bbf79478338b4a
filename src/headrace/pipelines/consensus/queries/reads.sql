-- name: find_proposal
-- The proposal of a job of this owner, with the job's state and input. By primary keys.
-- $1 job, $2 tenant, $3 owner
select job.state, job.input, made.parent_job, made.depth, made.proposal, made.schema_version,
    made.prompt_set_version
from headrace.jobs as job
left join lateral (
    select * from headrace_consensus.proposal_versions as version
    where version.job = job.id
    order by version.run desc
    limit 1
) as made on true
where job.id = $1 and job.tenant = $2 and job.owner = $3;

-- name: find_reviews
-- The reviews of a job of this owner, each of the newest run that made it. By primary key.
-- $1 job, $2 tenant, $3 owner
select distinct on (persona) persona, review, prompt_parameters, reused_from, schema_version,
    prompt_set_version
from headrace_consensus.persona_reviews
where job = $1 and tenant = $2 and owner = $3
order by persona, run desc;

-- name: find_decision
-- The decision of a job of this owner, of its newest run. By primary key.
-- $1 job, $2 tenant, $3 owner
select decision, label, confidence, has_mixed_versions, schema_version, prompt_set_version,
    created_at
from headrace_consensus.decisions
where job = $1 and tenant = $2 and owner = $3
order by run desc
limit 1;
