"""The process of one phase: `python -m gpu_phases TASK`, where TASK is a :class:`gpu_phases.common.Task` in JSON."""

import importlib
import json
import sys
import traceback

from gpu_phases.common import Result, Task


def main() -> int:
    """Run the phase; the exit status: 0, 1 after an error, whose traceback is then in the result."""
    task = Task(**json.loads(sys.argv[1]))
    result = Result(task)
    try:
        importlib.import_module(f"gpu_phases.{task.phase}").run(task, result)
    except Exception:
        traceback.print_exc()
        result.put(traceback=traceback.format_exc())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
