-- Rate limits and budgets.
select;
