-- Turns between tenants.
select;
