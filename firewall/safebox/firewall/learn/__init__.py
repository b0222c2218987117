"""From a recorded run to the narrowest mandate and overlay that would have allowed it, and the proof that they do.

`usage.py` reads what the run did, `grant.py` and `overlay.py` write it down, `again.py` judges the run once more under
what was written.
"""
