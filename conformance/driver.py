"""Runs Autobahn's test suite against a WebSocket server or client, and compares what comes out with what is expected.

    driver.py server ws://127.0.0.1:9001 --exclude '12.*' --exclude '13.*'
    driver.py client --listen 127.0.0.1:0 --subset subset.txt

Ends with a line `N passed, N failed`, and exits with 0 if none has failed. The client comes as Autobahn's do: it reads
the number of cases from `/getCaseCount`, echoes on `/runCase?case=N&agent=NAME`, and ends with
`/updateReports?agent=NAME`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path

from twisted.internet import reactor

import cases
from roles import ClientTest, Run, ServerTest, Verdict

HERE = Path(__file__).parent
NOT_RUN = Verdict("NOT RUN", "NOT RUN")


def main() -> int:
    arguments = parse_arguments()
    everything = cases.load()
    expected = read_expected(arguments.expected, everything)
    chosen = choose(everything, arguments)
    run = Run({number: everything[number] for number in chosen}, arguments.patience)
    if arguments.role == "server":
        ServerTest(arguments.url, run)
    else:
        host, _, port = arguments.listen.rpartition(":")
        ClientTest(host, int(port), run, lambda url: print(f"listening on {url}", flush=True))
    if not run.given_up:
        reactor.run()
    if arguments.report:
        write_report(arguments.report, run)
    return judge(run, expected)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs Autobahn's test suite.")
    roles = parser.add_subparsers(dest="role", required=True, metavar="server|client")
    server = roles.add_parser("server", help="test a server")
    server.add_argument("url", help="where it is, as ws://HOST:PORT")
    client = roles.add_parser("client", help="test a client")
    client.add_argument("--listen", default="127.0.0.1:9001", metavar="HOST:PORT", help="port 0 picks one")
    for role in (server, client):
        role.add_argument("--cases", action="append", metavar="GLOB", help="only these, as '6.4.*'")
        role.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="not these")
        role.add_argument("--subset", type=Path, metavar="FILE", help="only those that it lists")
        role.add_argument("--expected", type=Path, default=HERE / "expected.txt", metavar="FILE")
        role.add_argument("--report", type=Path, metavar="FILE", help="write all verdicts there, as JSON")
        role.add_argument("--patience", type=float, default=120, metavar="SECONDS", help="for one case (120)")
    return parser.parse_args()


def rows(path: Path) -> Iterable[list[str]]:
    """The words of each line of a table; what follows a `#` is a comment."""
    for line in path.read_text().splitlines():
        if words := line.partition("#")[0].split():
            yield words


def read_expected(path: Path, everything: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The two verdicts that each case should get. A later row of the table overrides an earlier one."""
    expected: dict[str, tuple[str, str]] = {}
    for glob, count, behaviour, close in rows(path):
        matching = [number for number in everything if fnmatchcase(number, glob)]
        if len(matching) != int(count):
            sys.exit(f"{path}: there should be {count} cases {glob}, and there are {len(matching)}")
        expected.update(dict.fromkeys(matching, (behaviour, close)))
    if missing := set(everything) - set(expected):
        sys.exit(f"{path}: nothing is expected of {', '.join(sorted(missing))}")
    return expected


def choose(everything: Iterable[str], arguments: argparse.Namespace) -> list[str]:
    subset = {number for row in rows(arguments.subset) for number in row} if arguments.subset else None
    if subset and (unknown := subset - set(everything)):
        sys.exit(f"{arguments.subset}: there is no case {', '.join(sorted(unknown))}")
    return [
        number
        for number in everything
        if (subset is None or number in subset)
        and (not arguments.cases or any(fnmatchcase(number, glob) for glob in arguments.cases))
        and not any(fnmatchcase(number, glob) for glob in arguments.exclude)
    ]


def write_report(path: Path, run: Run) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    verdicts = {number: asdict(verdict) for number, verdict in run.verdicts.items()}
    path.write_text(json.dumps(verdicts, indent=1) + "\n")


def judge(run: Run, expected: dict[str, tuple[str, str]]) -> int:
    """Prints what differs from what is expected, and gives the exit code."""
    failed = 0
    for number in run.cases:
        verdict = run.verdicts.get(number, NOT_RUN)
        if (verdict.behaviour, verdict.close) == expected[number]:
            continue
        failed += 1
        if verdict is not NOT_RUN:
            wanted = "/".join(expected[number])
            print(f"case {number}: {verdict.behaviour}/{verdict.close}, expected {wanted} (code {verdict.close_code})")
            for detail in filter(None, (*verdict.faults, verdict.found, verdict.events)):
                print(f"    {detail}")
    if run.given_up:
        print(f"given up: {run.given_up}")
    if missing := len(run.cases) - len(run.verdicts):
        print(f"{missing} cases were not run")
    print(f"{len(run.cases) - failed} passed, {failed} failed")
    return 1 if failed or not run.cases else 0


if __name__ == "__main__":
    sys.exit(main())
