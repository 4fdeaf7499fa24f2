"""Other libraries beside us: the same work, the same faults, the same oracle.

Each is a file of `programs` that runs in a process of its own, by `child.py`. `sentient-core[peers]` brings
the libraries; nothing here needs them but those processes.
"""
