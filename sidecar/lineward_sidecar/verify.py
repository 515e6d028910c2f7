"""The first container of a protected pod: hashes what is mounted and lets the pod go on only if it is what was signed.

`/opt/lineward/bin/python -I -m lineward_sidecar.verify --plan JSON --result FILE`; no network, no privilege but reading
the data. The verdict is the container's termination message; the exit code is 0 (all volumes equal, or the mode is
audit or warn), 86 (differs) or 87 (could not tell).
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NoReturn

from lineward.adapters import logs
from lineward.adapters.files_progress import Progress
from lineward.domain import plan as plans
from lineward.domain.errors import InvalidInputError
from lineward.domain.plan import Plan
from lineward.domain.reasons import Reason
from lineward.domain.verdict import PodVerdict, Verdict
from lineward_sidecar import report
from lineward_sidecar.checks import Finding, findings

TERMINATION_LOG = Path("/dev/termination-log")
PROGRESS_SECONDS = 5.0
_PR_SET_DUMPABLE = 4
"""prctl(2); 0 keeps processes of the same uid from attaching by ptrace."""

_log = logging.getLogger("lineward.verify")


class Verification:
    """One verification in a thread of its own, so that the main thread can report progress and obey signals at once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._answers: SimpleQueue[PodVerdict] = SimpleQueue()
        self._volume = ""
        self._progress: Progress | None = None

    def run(self) -> PodVerdict:
        """Return the verdict, or an unfinished one if SIGTERM, SIGINT or the plan's timeout comes first."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._interrupt)
        threading.Thread(target=self._work, daemon=True).start()
        started, limit = time.monotonic(), self.plan.timeout_seconds or float("inf")
        while (left := limit - (time.monotonic() - started)) > 0:
            try:
                return self._answers.get(timeout=min(PROGRESS_SECONDS, left))
            except Empty:
                self._tell()
        message = f"verification took longer than {self.plan.timeout_seconds} s{self._so_far()}"
        return report.unfinished(self.plan, message, Reason.VERIFICATION_TIMED_OUT)

    def _interrupt(self, number: int, _frame: object) -> None:
        message = f"stopped by {signal.Signals(number).name} before verification had finished{self._so_far()}"
        self._answers.put(report.unfinished(self.plan, message, Reason.NO_VERDICT))

    def _work(self) -> None:
        try:
            self._answers.put(self._verdict())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the pod must learn that there is no verdict
            _log.exception("verification crashed")
            message = f"verification crashed: {type(error).__name__}: {error}{self._so_far()}"
            self._answers.put(report.unfinished(self.plan, message, Reason.VERIFY_CRASHED))

    def _verdict(self) -> PodVerdict:
        found: list[Finding] = []
        for finding in findings(self.plan, self._note):
            found.append(finding)
            _log.info(finding[1], extra={"volume": finding[0].volume, "verdict": finding[0].verdict.value})
            if self.plan.mode == report.ENFORCE and finding[0].verdict is not Verdict.VERIFIED:
                break
        return report.conclude(self.plan, found)

    def _note(self, volume: str, progress: Progress) -> None:
        self._volume, self._progress = volume, progress

    def _tell(self) -> None:
        progress = self._progress
        if progress is None:
            _log.info("waiting for the first bytes")
            return
        fields = {
            "volume": self._volume,
            "files": progress.files,
            "bytes": progress.bytes,
            "bytesPerSecond": round(progress.rate),
            "secondsLeft": None if progress.seconds_left is None else round(progress.seconds_left),
        }
        _log.info("hashing", extra=fields)

    def _so_far(self) -> str:
        progress = self._progress
        return f" (volume {self._volume}, {progress.bytes} bytes read)" if progress else ""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Verify and end the process; does not wait for threads that hang in a read."""
    _forbid_ptrace()
    faulthandler.enable()
    logs.configure()
    arguments = _parser().parse_args(argv)
    verdict = _left(_verdict(arguments), arguments)
    level = logging.INFO if verdict.verdict is Verdict.VERIFIED else logging.ERROR
    _log.log(level, verdict.message, extra={"verdict": verdict.verdict.value, "reason": verdict.reason.value})
    sys.stderr.flush()
    os._exit(report.exit_code(verdict))


def _left(verdict: PodVerdict, arguments: argparse.Namespace) -> PodVerdict:
    """Leave the verdict where it is looked for; one that the kubelet cannot read is none."""
    try:
        report.write_in_place(arguments.termination_log, verdict.encode())
    except OSError as error:
        verdict = replace(
            verdict, verdict=Verdict.UNKNOWN, reason=Reason.NO_VERDICT, message=f"no termination message: {error}"
        )
    try:
        report.write_file(arguments.result, verdict.encode())
    except OSError as error:
        _log.warning("no result for the sidecar: %s", error)
    return verdict


def _verdict(arguments: argparse.Namespace) -> PodVerdict:
    plan: Plan | None = None
    try:
        plan = plans.decode(arguments.plan)
        before = report.unfinished(plan, "verification was killed before it had finished", Reason.NO_VERDICT)
        report.write_in_place(arguments.termination_log, before.encode())
        return Verification(plan).run()
    except InvalidInputError as error:
        return report.unfinished(plan, str(error), error.reason)
    except Exception as error:  # noqa: BLE001 - as above
        _log.exception("verification crashed")
        return report.unfinished(plan, f"verification crashed: {error}", Reason.VERIFY_CRASHED)


def _forbid_ptrace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) failed")


class Parser(argparse.ArgumentParser):
    """Ends with EX_USAGE (64) of sysexits.h for wrong arguments, so that they are never taken for a verdict."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and how it is used."""
        self.print_usage(sys.stderr)
        self.exit(64, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="lineward-verify",
        description="Hash the mounted data and compare it with the signed roots of the plan.",
        epilog="Exit codes: 0 verified (or audit, warn), 86 differs, 87 could not tell, 64 usage.",
    )
    parser.add_argument("--plan", required=True, metavar="JSON", help="what to verify, as the webhook wrote it")
    parser.add_argument(
        "--result", required=True, type=Path, metavar="FILE", help="where the sidecar reads the verdict"
    )
    parser.add_argument(
        "--termination-log", type=Path, default=TERMINATION_LOG, metavar="FILE", help="default: %(default)s"
    )
    return parser


if __name__ == "__main__":
    main()
