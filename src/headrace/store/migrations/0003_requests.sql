-- Answers to requests with a key, and limits of tenants.
select;
