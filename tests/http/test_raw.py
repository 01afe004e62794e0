#!/usr/bin/env python3
"""test_raw.py HTTP_PROBE GROUP SOURCE_DIR: raw bytes in, exact statuses out. `test_raw.py --list` prints the groups of the table.

Most of these requests could be two different ones to two readers, a proxy in front and this server, and must be refused.
"""
import json
import socket
import sys

from cases_of_raw import GROUPS
from raw_http import Probe, case, expect_same, main


def shut(client):
    try:
        client.socket.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def answers(probe, row):
    """(statuses, whether the server closed by itself, bodies) of what a row sends."""
    with probe.client() as client:
        if row.bytewise:
            for i in range(len(row.data)):
                client.send(row.data[i:i + 1])
        else:
            client.send(row.data)
        replies = []
        while len(replies) < len(row.statuses):
            replies.append(client.reply(row.method))
        if row.closes:
            client.until_closed()
        by_itself = client.closed
        shut(client)  # whatever else there is comes before the server closes too
        client.until_closed()
        expect_same(client.data, b"")
        return [reply.status for reply in replies], by_itself, replies


def check(probe, row):
    statuses, closed, replies = answers(probe, row)
    expect_same((statuses, closed), (row.statuses, row.closes))
    if row.body is not None:
        expect_same(replies[0].body, row.body)
    for reply in replies:
        if row.closes and reply.status >= 400:  # the transport's own
            error = json.loads(reply.body)["error"]
            expect_same(sorted(error), ["code", "message", "param", "type"])
            expect_same((reply.headers["content-type"], error["param"]), ("application/json", None))


def make(group, rows):
    def run(program):
        faults = []
        with Probe(program) as probe:
            for row in rows:
                try:
                    check(probe, row)
                except (AssertionError, OSError) as fault:
                    faults.append(f"\n  {row.name}: {fault}")
        expect_same("".join(faults), "")
    run.__name__ = group
    case(run)


for name, table in GROUPS.items():
    make(name, table)

if __name__ == "__main__":
    sys.exit(main(lambda program, source, folder: program))
