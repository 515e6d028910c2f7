"""Wires the sidecar together. It never delays the pod: not its start (there is no probe) and not its end.

Whatever goes wrong here is logged and costs observations only; the process then waits for SIGTERM, since a sidecar that
restarts for ever would alarm people about a run that is well.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NoReturn
from urllib.parse import urlsplit

from lineward.adapters import logs
from lineward.domain import lineage, verdict
from lineward.domain import plan as plans
from lineward.domain.errors import InvalidInputError
from lineward.domain.plan import Plan
from lineward.domain.verdict import PodVerdict
from lineward_sidecar import metrics
from lineward_sidecar.observe import Observer, Watcher
from lineward_sidecar.sender import FINAL_SECONDS, Sender
from lineward_sidecar.spool import Spool

FIRST_RUNNING_SECONDS = 3.0
"""When the first RUNNING follows START: late enough to carry the first census of a small volume."""
LINEAGE_PATH = "/api/v1/lineage"

_log = logging.getLogger("lineward.sidecar")


def run(argv: Sequence[str]) -> NoReturn:
    """Observe until SIGTERM or SIGINT, send what is left for 2 seconds at most, and exit with 0."""
    arguments = _parser().parse_args(argv)
    logs.configure()
    stopped: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stopped.put(received))
    senders: list[Sender] = []
    try:
        observer = _set_up(arguments, senders)
        pause = min(FIRST_RUNNING_SECONDS, arguments.running_seconds)
        while not _waited(stopped, pause):
            observer.running()
            pause = arguments.running_seconds
    except Exception:  # noqa: BLE001 - see above
        _log.exception("observation ended; training is not affected")
        stopped.get()
    until = time.monotonic() + FINAL_SECONDS
    for sender in senders:
        sender.hurry(until)
    for sender in senders:
        sender.join()
    os._exit(0)


def _waited(stopped: SimpleQueue[int], seconds: float) -> bool:
    try:
        stopped.get(timeout=seconds)
    except Empty:
        return False
    return True


def _set_up(arguments: argparse.Namespace, senders: list[Sender]) -> Observer:
    plan = plans.decode(arguments.plan)
    found = _read_verdict(arguments.result)
    shown = metrics.Metrics()
    shown.describe(plan, found)
    port = metrics.serve(arguments.metrics_port, shown)
    spools = []
    for name, url, token in _receivers(arguments):
        spool = Spool(arguments.spool / name, shown.spooled.labels(name).set)
        spools.append(spool)
        senders.append(Sender(url, spool, token))
    observer = _observer(arguments, plan, found, spools)
    observer.start()
    for sender in senders:
        sender.start()
    Watcher(observer, shown, arguments.census_seconds).start()
    _log.info("observing", extra={"volumes": len(plan.volumes), "metricsPort": port, "run": observer.run.run_id})
    return observer


def _receivers(arguments: argparse.Namespace) -> list[tuple[str, str, Path | None]]:
    """Return name, URL and token of each receiver; the ledger's token is nobody else's business."""
    receivers: list[tuple[str, str, Path | None]] = []
    if arguments.ledger_url:
        receivers.append(("ledger", arguments.ledger_url.rstrip("/") + LINEAGE_PATH, arguments.token))
    if arguments.openlineage_url:
        receivers.append(("openlineage", arguments.openlineage_url, None))
    return receivers


def _observer(arguments: argparse.Namespace, plan: Plan, found: PodVerdict | None, spools: Sequence[Spool]) -> Observer:
    namespace = os.environ["LINEWARD_POD_NAMESPACE"]
    name, uid = os.environ["LINEWARD_POD_NAME"], os.environ["LINEWARD_POD_UID"]
    run_of_pod = lineage.pod_run(arguments.cluster, namespace, plan, name, uid)
    return Observer(plan, found, arguments.cluster, namespace, run_of_pod, spools, arguments.spool)


def _read_verdict(path: Path) -> PodVerdict | None:
    try:
        with path.open() as result:
            return verdict.decode(result.read(verdict.MAX_BYTES + 1))
    except (OSError, InvalidInputError) as error:
        _log.warning("no verdict to report: %s", error)
        return None


def _url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise argparse.ArgumentTypeError("expected an http or https URL")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineward-sidecar",
        description="Report what a training pod reads: lineage events, metrics, and change in its data.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="LINEWARD_POD_UID, LINEWARD_POD_NAME and LINEWARD_POD_NAMESPACE say which pod this is.",
    )
    parser.add_argument("--plan", required=True, metavar="JSON", help="what is mounted, as the webhook wrote it")
    parser.add_argument("--result", required=True, type=Path, metavar="FILE", help="verdict that verify left")
    parser.add_argument("--ledger-url", type=_url, default="", metavar="URL", help="the ledger")
    parser.add_argument("--token", type=Path, default=None, metavar="FILE", help="token for the ledger")
    parser.add_argument(
        "--openlineage-url", type=_url, default="", metavar="URL", help="a further OpenLineage receiver"
    )
    parser.add_argument("--spool", required=True, type=Path, metavar="DIR", help="where events wait for a receiver")
    parser.add_argument("--metrics-port", type=int, default=9465, help="port of /metrics; 0 takes a free one")
    parser.add_argument("--cluster", default="kubernetes", help="name of the cluster in lineage events")
    parser.add_argument("--running-seconds", type=float, default=300.0, help="time between RUNNING events")
    parser.add_argument("--census-seconds", type=float, default=60.0, help="least time between walks over the data")
    return parser
