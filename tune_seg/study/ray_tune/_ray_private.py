"""What this project uses of Ray that Ray does not document, and why. A test holds each to the installed version.

No other module relies on how Ray Tune keeps the state of a run.
"""

from typing import Any

from ray.tune.experiment import Trial


class NotSaved:
    """Of a searcher, scheduler or callback: Tune pickles it to restore a run, and gets nothing.

    A study is restored from its own records; to pickle these again and again would take time, and their locks cannot be.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "") -> None:
        return None


def leave_out_state(trial: Trial) -> None:
    """Keep Tune from describing `trial` in the state of the run, which takes milliseconds a trial and restores nothing."""
    described: Any = trial
    described.get_json_state = _no_state


def _no_state() -> tuple[str, str]:
    return "{}", "{}"
