"""A study whose space has grown: a choice more, a wider range, another key. It goes on with the trials that it has.

The trials of before are rewritten in the journal as trials of the larger space: a key that did not vary has the value that
the configuration gave it, and a choice has the values of now. What they have trained and scored stays as it is.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution

from tune_seg._whole_file import whole_file
from tune_seg.config import StudyConfig, parse
from tune_seg.study.files import CONFIGURATION, JOURNAL
from tune_seg.study.marks import ASSIGNMENT, REPEAT
from tune_seg.study.search_space.space import Space
from tune_seg.study.search_space.varied_key import Bound, Choice, Range, VariedKey

_GROWING: Final = ".growing"
"""The mark of a study whose journal may have a larger space than its `study.yaml`."""
_PARAMETER: Final = 5
"""How Optuna's journal marks the value of a parameter."""


def narrowed(before: StudyConfig, now: StudyConfig) -> list[str]:
    """In what the space of `now` lacks something of that of `before`, a line each; empty where it has all of it."""
    if before.space == now.space and before.rows == now.rows:
        return []
    old, new = ({varied.key: varied for varied in Space(config).varied} for config in (before, now))
    found = []
    for key, varied in old.items():
        if key not in new:
            found.append(f"space.{key}: {varied.domain} in the study, it does not vary now")
        elif not _contains(new[key].domain, varied.domain):
            found.append(f"space.{key}: {varied.domain} in the study, {new[key].domain} now, which is not all of it")
        elif not _applies_wherever(new[key], varied):
            found.append(f"space.{key}: it varied where it does not now: {varied} in the study, {new[key]} now")
    return found


def _contains(new: Range | Choice, old: Range | Choice) -> bool:
    match new, old:
        case Choice(), Choice():
            return new.grid == old.grid and all(value in new.values for value in old.values)
        case Range(), Range():
            alike = new.integer == old.integer and new.log == old.log
            return alike and _reaches(new.low, old.low, -1) and _reaches(new.high, old.high, 1)
    return False


def _reaches(new: Bound, old: Bound, sign: int) -> bool:
    return new.key == old.key and sign * new.offset >= sign * old.offset


def _applies_wherever(new: VariedKey, old: VariedKey) -> bool:
    """Whether `new` varies under all conditions under which `old` does."""
    if not new.when:
        return True
    return bool(old.when) and all(any(_implies(then, now) for now in new.when) for then in old.when)


def _implies(then: Mapping[str, Sequence[Any]], now: Mapping[str, Sequence[Any]]) -> bool:
    return all(key in then and set(map(str, then[key])) <= set(map(str, allowed)) for key, allowed in now.items())


def grow_study(directory: Path, space: Space) -> bool:
    """Have a study go on in a larger space, if its own is another one.

    Args:
        directory: of the study, which this process holds.
        space: the larger one, of which it is known that it has all of the other.

    Returns:
        Whether the space has grown.
    """
    described, journal, mark = directory / CONFIGURATION, directory / JOURNAL, directory / _GROWING
    if not described.exists() or not journal.exists():
        return False
    before = parse(StudyConfig, yaml.safe_load(described.read_text()))
    if before.space == space.config.space and not mark.exists():
        return False
    mark.touch()  # until `study.yaml` has the space of the journal, see :func:`grown`
    return grow_journal(journal, space)


def grown(directory: Path) -> None:
    """Note that `study.yaml` has the space of the journal."""
    (directory / _GROWING).unlink(missing_ok=True)


def grow_journal(path: Path, space: Space) -> bool:
    """Rewrite the trials of a journal as those of a larger space; the file appears whole or not at all.

    Args:
        path: of the journal, which nobody else writes to.
        space: the larger one.

    Returns:
        Whether anything had to be rewritten.
    """
    with path.open("rb") as file:
        lines = [line for line in file if line.endswith(b"\n")]
    larger = list(_grown(lines, space))
    if larger == lines:
        return False
    with whole_file(path) as new, new.open("wb") as written:
        written.writelines(larger)
        written.flush()
        os.fsync(written.fileno())  # the journal is all that there is of the trials
    return True


def _grown(lines: Sequence[bytes], space: Space) -> Iterator[bytes]:
    choices = {varied.key: varied.distribution({}) for varied in space.varied if isinstance(varied.domain, Choice)}
    repeats: set[int] = set()
    for line in lines:
        log = json.loads(line)
        attribute = log.get("user_attr", {})
        if REPEAT in attribute:
            repeats.add(log["trial_id"])
        if log["op_code"] == _PARAMETER and log["param_name"] in choices:
            changed = _with_choices(log, choices[log["param_name"]])
            yield line if changed == log else _line(changed)
        elif ASSIGNMENT in attribute and "trial_id" in log:
            assignment = attribute[ASSIGNMENT]
            whole = space.completed(assignment)
            if whole == assignment:
                yield line
                continue
            if log["trial_id"] not in repeats:
                yield from _parameters(log, space, {key: whole[key] for key in whole.keys() - assignment.keys()}, whole)
            yield _line({**log, "user_attr": {ASSIGNMENT: whole}})
        else:
            yield line


def _with_choices(log: Mapping[str, Any], choices: BaseDistribution) -> Mapping[str, Any]:
    before = json_to_distribution(log["distribution"])
    value = before.to_external_repr(log["param_value_internal"])
    try:
        number = choices.to_internal_repr(value)
    except ValueError:  # a value that a baseline alone had
        return log
    return {**log, "param_value_internal": number, "distribution": distribution_to_json(choices)}


def _parameters(log: Mapping[str, Any], space: Space, new: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[bytes]:
    """What the journal says of keys that have begun to vary, where the value of before is one of theirs."""
    values = {**space.defaults, **whole, **space.config.in_full(whole)}
    for varied in space.varied:
        if varied.key in new and varied.allows(new[varied.key], values):
            distribution = varied.distribution(values)
            value = space.stored(new)[varied.key]
            yield _line(
                {
                    "op_code": _PARAMETER,
                    "worker_id": log["worker_id"],
                    "trial_id": log["trial_id"],
                    "param_name": varied.key,
                    "param_value_internal": distribution.to_internal_repr(value),
                    "distribution": distribution_to_json(distribution),
                }
            )


def _line(log: Mapping[str, Any]) -> bytes:
    return json.dumps(log, separators=(",", ":")).encode() + b"\n"
