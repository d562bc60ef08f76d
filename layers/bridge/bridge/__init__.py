"""The bridge between Bird and Salesforce: everything that the functions share.

Read in this order: `records` (what a Lead or a Case is made of), `bird` (what a message holds),
`salesforce` (what the org responds), `oauth` (how a call is authenticated), `conversations` (where
a message goes), `delivery` (one record now, or many later), `files` (what is attached), `api` (how
it speaks HTTP), `wiring` (where objects are made).
"""
