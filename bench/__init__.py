"""What docs promise about speed and size, measured: `make bench`, `make bench ARGS=--quick`.

Everything dear is measured as CPU time, in processes of their own, beside the floor that it is
compared with and in turns with it, so that a busy machine disturbs both alike. Medians are told.

    other_side   Salesforce and AWS, in one process that is not measured
    layer        the layer as it is deployed, with and without bytecode
    programs/    what runs in the measured processes
    cold, warm, deliver, waits, emulator, sizes, saturation      one question each
    report       the table, the bars, the JSON
"""
