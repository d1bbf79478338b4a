-- name: insert_intent
-- Says that bytes are about to be written, so that those whose reference is never committed are found.
-- $1 path, $2 job, $3 run, $4 step, $5 item, $6 token, $7 bytes, $8 sha256
insert into headrace.artifacts (path, job, run, step, item, token, bytes, sha256)
values ($1, $2, $3, $4, $5, $6, $7, $8);
