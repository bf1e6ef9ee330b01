"""What the repeats of a study say: which configuration is better than plain cross entropy, and how sure that is.

Statistics alone, of numbers that the caller has: it knows neither Ray nor Optuna nor MLflow nor torch.
"""

from tune_seg.study.verdict.contender import Contender, Repeat
from tune_seg.study.verdict.decision import Row, Verdict, decide
from tune_seg.study.verdict.paired import Difference, compare
from tune_seg.study.verdict.rule import Kind

__all__ = ["Contender", "Difference", "Kind", "Repeat", "Row", "Verdict", "compare", "decide"]
