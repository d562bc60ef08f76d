"""Measures the speed and size that the project promises: `make bench`, `make bench ARGS=--quick`.

What costs CPU is measured as CPU time, in processes of their own, in turns with the floor that it
is compared with, so that a busy machine disturbs both alike. Results are medians.

    cold, warm, deliver, waits      one question each
    programs/    what runs in the measured processes
    layer        the layer as it is deployed
    other_side   Salesforce and AWS, in one process that is not measured
    report       the tables and the bars
"""
