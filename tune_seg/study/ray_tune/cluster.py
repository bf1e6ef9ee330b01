"""Ray: start it on this machine or join a cluster, and compute how many trials fit on it at once."""

import logging
import math
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tune_seg._endings import hangup_held_back
from tune_seg._package import PACKAGE
from tune_seg.config import ComputeConfig
from tune_seg.errors import InputError

Node = Mapping[str, float]
"""The resources of one machine, by Ray's names: CPU, GPU, ..."""


def check_unused() -> None:
    """Check that the script or notebook which runs the study has no Ray of its own, which the study would end.

    Raises:
        InputError: it has.
    """
    ray = sys.modules.get("ray")  # to import it takes a second
    if ray is not None and ray.is_initialized():
        raise InputError("Ray runs already in this process, and a study starts its own: call ray.shutdown() first")


def start(address: str | None) -> list[Node]:
    """Start Ray on this machine, or join the cluster at `address`; the resources of each machine.

    Raises:
        InputError: no cluster answers at `address`.
    """
    import ray

    options: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if address is None:
        # the object store stays nearly empty: trials map the packed file instead
        with hangup_held_back():
            ray.init("local", include_dashboard=False, object_store_memory=100 * 2**20, **options)
    else:
        _check_listens(address)
        try:
            # the machines of a cluster run the code of this one
            ray.init(address, runtime_env={"py_modules": [str(PACKAGE)]}, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"compute.address {address}: cannot join the Ray cluster there ({error}); if it asks for a token, which is "
                f"Ray's default, set RAY_AUTH_MODE=token and have the cluster's token in ~/.ray/auth_token"
            ) from error
    return nodes()


def nodes() -> list[Node]:
    """The resources of each machine of the cluster that was joined."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _check_listens(address: str) -> None:
    """Check that the address accepts connections: where it does not, Ray would try again for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return  # "auto" and the like, which Ray looks up
    try:
        with socket.create_connection((host, int(port)), timeout=10.0):
            pass
    except (OSError, ValueError) as error:
        raise InputError(
            f"compute.address {address}: no Ray cluster answers there ({error}); start one with `ray start "
            f"--head`, or leave compute.address (--address) out"
        ) from error


def stop() -> None:
    """Leave the cluster; one that :func:`start` started ends."""
    import ray

    ray.shutdown()


def allot(compute: ComputeConfig, device: str, nodes: Sequence[Node]) -> ComputeConfig:
    """Fill in what `compute` leaves open: GPUs per trial (one, where there are any) and trials at once.

    Args:
        compute: what the user asks for.
        device: `training.device`; on `cpu` no trial is given a GPU.
        nodes: what :func:`start` returned.

    Raises:
        InputError: a trial asks for more than any machine has, for a fraction of GPUs above one, or for a GPU where there
            is none.
    """
    gpus = compute.gpus_per_trial
    if gpus is None or gpus == "auto":  # what is measured needs the data first
        gpus = 1.0 if device != "cpu" and any(node.get("GPU", 0.0) >= 1.0 for node in nodes) else 0.0
    if (device == "cuda" and not gpus) or (device == "cpu" and gpus):
        raise InputError(
            f"training.device {device} does not go with {gpus:g} GPUs a trial: {_have(nodes)}. Set training.device to auto, "
            f"or leave compute.gpus_per_trial out"
        )
    if gpus > 1.0 and not gpus.is_integer():
        raise InputError(f"compute.gpus_per_trial: above 1 it must be a whole number, got {gpus:g}")
    for key, name, asked in (("cpus_per_trial", "CPU", compute.cpus_per_trial), ("gpus_per_trial", "GPU", gpus)):
        if asked > max((node.get(name, 0.0) for node in nodes), default=0.0):
            raise InputError(f"compute.{key}: a trial asks for {asked:g} {name}s; {_have(nodes)}. Lower it")
    slots = sum(_slots(node, compute.cpus_per_trial, gpus) for node in nodes)
    if not slots:
        raise InputError(
            f"no machine has {compute.cpus_per_trial} CPUs and {gpus:g} GPUs together; {_have(nodes)}. Lower "
            f"compute.cpus_per_trial or compute.gpus_per_trial"
        )
    at_once = min(compute.max_concurrent or slots, slots)
    return compute.model_copy(update={"gpus_per_trial": gpus, "max_concurrent": at_once})


def _have(nodes: Sequence[Node]) -> str:
    machines = (f"{node.get('CPU', 0.0):g} CPUs and {node.get('GPU', 0.0):g} GPUs" for node in nodes)
    return f"the machines have {'; '.join(machines)}"


def _slots(node: Node, cpus: int, gpus: float) -> int:
    by_cpu = int(node.get("CPU", 0.0) // cpus)
    if not gpus:
        return by_cpu
    whole = node.get("GPU", 0.0)
    # fractions share one GPU each: 0.4 fits twice on each of three GPUs, not seven times on all
    by_gpu = int(whole) * math.floor(1.0 / gpus + sys.float_info.epsilon) if gpus <= 1.0 else int(whole // gpus)
    return min(by_cpu, by_gpu)
