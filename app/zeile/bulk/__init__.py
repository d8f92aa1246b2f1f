# SPDX-License-Identifier: Apache-2.0
"""Reading a great many lines: jobs that survive whatever ends their workers, and read every line once.

    JOB/ledger.sqlite              what is to be read and how, in shards; who reads which, until when (ledger.py)
        shards/shard-000001.ndjson    a row for each line, published whole or not at all (publish.py)
        workers/HOST-PID.lock         held as long as the worker lives

Any number of workers, on one host or on several that share the folder, work on a job. A worker leases a shard, reads
it in process or through services (readers.py), publishes the file, and only then tells the ledger. Whoever finds a file
published already compares: reading is integers' work, so two readings of a shard that differ are an alarm. If a worker
dies, another one reads its shard again, and nothing else.
"""
