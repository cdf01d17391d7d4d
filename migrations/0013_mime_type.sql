-- Named as in the contract.
alter table uploads rename column content_type to mime_type;
