"""Functions on Ray Serve, behind the interface of those that run in the gateway's own process.

Read in this order: `backend.py` (what a gateway gets), `function.py` (a function as the gateway has it), `replica.py`
(the other end), `crossing.py` (what goes between them), `scaling.py` (how many replicas), `cluster.py`, `deploying.py`.

Ray itself is imported when it is used, by `cluster.py`, and by nobody else.
"""
