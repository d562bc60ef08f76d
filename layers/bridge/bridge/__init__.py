"""The bridge between Bird and Salesforce: everything that the functions share.

Read in this order: `records` (what a Lead or a Case is made of), `salesforce` (what the org says),
`tokens` (how a call is authenticated), `outbox` (what waits), `creation` (one record, now),
`delivery` (many records, later), `api` (how it speaks HTTP), `wiring` (where objects are made).
"""
