"""One module per kind. Each has `seen`, called for every watch event, and `reconcile`, called from the queue.

`seen` only takes notes and says what to look at again; `reconcile` compares what should be with what is, so it may be
called at any time and any number of times.
"""
