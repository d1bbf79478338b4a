-- API keys, and the audit of administrators.
select;
