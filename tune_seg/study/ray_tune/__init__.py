"""A study on Ray: all that imports it.

Ray reads its settings when it is imported, so they are set here, before any module of this package is.
"""

import os

# unless told not to, Ray reports usage to its makers and keeps logs of every trial
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")  # the report names each failed trial with its reason
# Tune would write the state of all trials again and again, to restore a run; a study is restored from its own records
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "inf")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the newer console output of Tune ignores verbose=0
