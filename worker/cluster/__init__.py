"""Coloring on several machines: an engine whose workers are processes of a Ray cluster.

`cluster_engine` and `bridge_process` are the daemon's; by a pipe they talk with `bridge`, a process
with `crew`, `roster` and `courier`; by way of Ray that one talks with a `node_worker` on each node.
"""
