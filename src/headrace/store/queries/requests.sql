-- name: find_owned_job
-- Whether a job belongs to a tenant, and to an owner of it where one is given.
-- $1 id, $2 tenant, $3 owner or null for all
select state from headrace.jobs
where id = $1::uuid and tenant = $2::text and ($3::text is null or owner = $3);
