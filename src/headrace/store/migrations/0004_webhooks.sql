-- Webhooks.
select;
