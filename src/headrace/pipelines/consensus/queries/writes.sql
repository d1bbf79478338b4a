-- name: keep_proposal
-- $1 job, $2 run, $3 tenant, $4 owner, $5 parent job, $6 depth, $7 proposal, $8 diff,
-- $9 notes of the edit, $10 schema version, $11 version of the prompts
insert into headrace_consensus.proposal_versions (
    job, run, tenant, owner, parent_job, depth, proposal, diff, edit_notes, schema_version,
    prompt_set_version
)
values ($1, $2, $3, $4, $5, $6, $7::json, $8::json, $9, $10, $11);

-- name: keep_review
-- $1 job, $2 run, $3 tenant, $4 owner, $5 persona, $6 review, $7 confidence as text,
-- $8 has blocking issues, $9 has security concerns, $10 parameters of the prompt,
-- $11 job that it is reused from, $12 schema version, $13 version of the prompts
insert into headrace_consensus.persona_reviews (
    job, run, tenant, owner, persona, review, confidence, blocking_issues_present,
    security_concerns_present, prompt_parameters, reused_from, schema_version, prompt_set_version
)
values ($1, $2, $3, $4, $5, $6::json, $7::text::numeric, $8, $9, $10::json, $11, $12, $13);

-- name: keep_decision
-- $1 job, $2 run, $3 tenant, $4 owner, $5 decision, $6 label, $7 confidence as text, $8 notes,
-- $9 has mixed versions, $10 schema version, $11 version of the prompts
insert into headrace_consensus.decisions (
    job, run, tenant, owner, decision, label, confidence, notes, has_mixed_versions,
    schema_version, prompt_set_version
)
values ($1, $2, $3, $4, $5::json, $6, $7::text::numeric, $8, $9, $10, $11);
