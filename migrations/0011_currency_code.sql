-- Named as in the contract: the column holds a code of ISO 4217.
alter table run_results rename column currency to currency_code;
