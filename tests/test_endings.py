"""What a closed terminal does: it ends a study as Ctrl-C does, once, and printing is no error afterwards."""

import os
import pty
import signal
import subprocess
import sys
from functools import partial
from typing import Any

import pytest

from tune_seg._endings import hangup_held_back, leave_lost_terminal, treat_as_ctrl_c

WAITS = """
import signal, sys, time
from tune_seg._endings import treat_as_ctrl_c
treat_as_ctrl_c()
try:
    print("waits", flush=True)
    while True:
        time.sleep(60)
except KeyboardInterrupt:
    for sentence in ("interrupted", "and more"):
        print(sentence, flush=True)
        print(sentence, file=sys.stderr, flush=True)
    signal.raise_signal(signal.SIGHUP)  # that of the shell, after that of the kernel
    sys.exit(130)
"""


def test_a_closed_terminal_is_one_ctrl_c_and_printing_goes_on() -> None:
    process, terminal = pty.fork()
    if not process:
        os.execv(sys.executable, [sys.executable, "-c", WAITS])
    printed = b""
    while b"waits" not in printed:
        printed += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 130


def test_a_terminal_that_is_there_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    leave_lost_terminal()
    os.write(1, b"still here")
    assert capfd.readouterr().out == "still here"


def test_what_is_started_meanwhile_does_not_end_with_the_terminal() -> None:
    command = [sys.executable, "-c", "print('waits', flush=True); input()"]
    start = partial(subprocess.Popen[str], command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with hangup_held_back():
        kept = start()
    ended = start()
    for process in (kept, ended):
        assert process.stdout is not None and process.stdout.readline() == "waits\n"
        process.send_signal(signal.SIGHUP)
    assert ended.wait() == -signal.SIGHUP
    kept.communicate("goes on\n")
    assert kept.returncode == 0
    assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize("of_ctrl_c", [signal.default_int_handler, signal.SIG_IGN, signal.SIG_DFL])
def test_the_handlers_that_were_there_can_be_put_back(of_ctrl_c: Any) -> None:
    interrupt = signal.signal(signal.SIGINT, of_ctrl_c)
    earlier = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    before = treat_as_ctrl_c()
    try:
        assert before == {each: handler for each, handler in earlier.items() if handler is not signal.SIG_IGN}
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        for each, handler in {**before, signal.SIGINT: interrupt}.items():
            signal.signal(each, handler)
