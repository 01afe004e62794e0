#!/usr/bin/env python3
"""test_listen.py HTTP_PROBE NAME SOURCE_DIR: many connections, the addresses of a server, its streams and its end, one a case."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from raw_http import HEALTH, PATIENCE, Probe, case, expect, expect_same, get, main, post


# ---- limits of connections


@case
def idle_connections_cost_little(program):
    def resident(probe):
        pages = pathlib.Path(f"/proc/{probe.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    with Probe(program) as probe:
        probe.get("/health")
        before = resident(probe)
        clients = [probe.client() for _ in range(255)]
        for client in clients:
            client.send(post("/echo", 20000) + b"a" * 20000)
            expect_same(client.reply().status, 200)
        turns = probe.counts()["turns"]
        grown = resident(probe) - before
        time.sleep(2)
        counts = probe.counts()
        expect(counts["turns"] - turns <= 8, "woke up", counts["turns"] - turns, "times in two seconds")
        expect_same(counts["open"], 256)
        expect(sanitized(program) or grown < 256 * 4096, grown / 256)
        for client in clients[1:]:
            client.send(HEALTH)
            expect_same(client.reply().status, 200)


def sanitized(program):
    return b"__sanitizer" in pathlib.Path(program).read_bytes()


@case
def one_more_closes_the_longest_idle(program):
    with Probe(program, "--max_connections=4") as probe:
        clients = [probe.client() for _ in range(4)]
        for client in clients[1:] + clients[:1]:  # the second one is idle longest
            client.send(HEALTH)
            expect_same(client.reply().status, 200)
            time.sleep(0.02)
        with probe.client() as more:
            more.send(HEALTH)
            expect_same(more.reply().status, 200)
        clients[1].until_closed()
        expect(all(client.silent(0) for client in (clients[0], clients[2], clients[3])))


@case
def one_more_than_busy_ones_is_told(program):
    with Probe(program, "--max_connections=4") as probe:
        clients = [probe.client().send(get("/never")) for _ in range(4)]
        time.sleep(0.1)
        with probe.client() as more:
            reply = more.reply()
            expect_same((reply.status, reply.headers["retry-after"]), (503, "1"))
            more.until_closed()
        crowd = [probe.client() for _ in range(60)]  # of those only some are told
        for client in crowd:
            client.until_closed()
        expect_same({client.data[9:12] for client in crowd}, {b"503", b""})
        expect(all(client.silent(0) for client in clients))
        clients[0].socket.close()
        expect_same(probe.line(), "gone /never")
        for client in crowd:
            client.socket.close()
        time.sleep(0.1)
        expect_same(probe.get("/health").status, 200)


@case
def one_address_may_not_have_all(program):
    with Probe(program, "--count_loopback=1", "--max_per_address=3") as probe:
        clients = [probe.client() for _ in range(3)]
        with probe.client() as more:
            expect_same(more.reply().status, 429)
        with probe.client(local="127.0.0.2") as other:
            expect_same(other.send(HEALTH).reply().status, 200)
        clients[0].socket.close()
        time.sleep(0.1)
        with probe.client() as again:
            expect_same(again.send(HEALTH).reply().status, 200)
    with Probe(program, "--max_per_address=3") as probe:
        clients = [probe.client().send(HEALTH) for _ in range(6)]  # of this machine: a proxy, say
        expect_same([client.reply().status for client in clients], [200] * 6)


@case
def those_beyond_an_address_take_no_place(program):
    """300 connections too many, all of which stay open: others come in, and an idle one of before stays."""
    with Probe(program, "--count_loopback=1", "--linger_s=60") as probe, probe.client(local="127.0.0.3") as idle:
        expect_same(idle.send(HEALTH).reply().status, 200)
        greedy = [probe.client(local="127.0.0.2") for _ in range(364)]
        for client in greedy[64:]:
            client.read()
        told = [client for client in greedy[64:] if client.data]
        expect_same((len(told), {client.reply().status for client in told}), (16, {429}))
        expect(all(client.silent(0) for client in greedy[:64]))
        with probe.client(local="127.0.0.4") as other:
            expect_same(other.send(HEALTH).reply().status, 200)
        expect_same(idle.send(HEALTH).reply().status, 200)
        counts = probe.counts()
        expect_same((counts["closed_for_room"], counts["TOO_MANY_FROM_ADDRESS"], counts["open"] <= 67), (0, 300, True))
        probe.process.terminate()  # nor do those that were told hold the end
        expect_same(probe.process.wait(PATIENCE), 0)


@case
def no_descriptor_left_is_survived(program):
    with Probe(program, "--fds=24") as probe:
        clients = [probe.client().send(get("/never")) for _ in range(40)]
        time.sleep(0.2)
        told = [client for client in clients if not client.silent(0)]
        expect(20 < len(told) < 36, len(told))  # closed at once
        for client in clients:
            client.socket.close()
        probe.wait_for("busy", 1)
        expect(probe.counts()["no_descriptor"] >= len(told))
        expect(probe.counts()["turns"] < 1000, probe.counts())
        idle = [probe.client() for _ in range(40)]  # idle ones make room for each other
        expect_same(probe.get("/health").status, 200)
        expect(len([client for client in idle if not client.silent(0)]) >= 20)


@case
def all_buffers_together_are_limited(program):
    with Probe(program, "--max_held=1400000") as probe:
        clients = [probe.client().send(post("/echo", 200000) + b"a" * 150000) for _ in range(4)]
        time.sleep(0.2)
        refused = [client for client in clients if not client.silent(0)]
        expect(1 <= len(refused) <= 3, len(refused))
        expect_same({client.reply().status for client in refused}, {503})


@case
def bodies_leave_room_for_replies(program):
    with Probe(program, "--max_held=1200000") as probe:
        clients = [probe.client().send(post("/echo", 200000) + b"a" * 190000) for _ in range(8)]
        time.sleep(0.2)
        reader = probe.client(receive=4096).send(get("/big?size=300000"))
        time.sleep(0.1)
        expect_same(len(reader.reply().body), 300000)
        for client in clients:
            client.socket.close()


@case
def a_body_is_let_go_of_when_it_was_read(program):
    with Probe(program) as probe, probe.client() as half, probe.client() as whole:
        half.send(post("/echo", 140000) + b"a" * 139999)
        time.sleep(0.1)
        expect(probe.counts()["held"] < 300000, probe.counts())  # no more than was announced, and what was read last
        half.send(b"a")
        expect_same(half.reply().body, b"a" * 140000)
        whole.send(post("/never", 140000) + b"a" * 140000)
        time.sleep(0.1)
        expect_same((probe.counts()["busy"], probe.counts()["held"] < 20000), (2, True))


@case
def a_flood_leaves_time_for_others(program):
    with Probe(program) as probe, probe.client() as flood:
        over = threading.Event()

        def drain():
            while not over.is_set() and flood.socket.recv(1 << 20):
                pass

        def pour():
            while not over.is_set():
                flood.send(HEALTH * 500)

        threads = [threading.Thread(target=drain), threading.Thread(target=pour)]
        for thread in threads:
            thread.start()
        n_asked = 0
        while n_asked < 20 or probe.counts()["requests"] <= 1000: # however fast this machine is
            start = time.monotonic()
            expect_same(probe.get("/health").status, 200)
            expect(time.monotonic() - start < PATIENCE / 8)
            n_asked += 1
        over.set()
        flood.socket.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


# ---- addresses


@case
def hosts_of_this_machine_alone(program):
    served = ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.1.2.3:80", "[::1]:80", "x", "X:1"]
    refused = ["example.org", "127.0.0.1.example.org", "localhost.example.org", "[::2]", "xx", "10.0.0.1", "localhost:8080a", "y"]
    with Probe(program) as probe:
        for hosts, status in (served, 200), (refused, 403):
            for host in hosts:
                with probe.client() as client:
                    client.send(f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                    expect_same((host, client.reply().status), (host, status))
    with Probe(program, address="0.0.0.0:0") as probe:  # listens to the world: names are the world's
        probe.place = ("127.0.0.1", probe.place[1])
        with probe.client() as client:
            expect_same(client.send(b"GET /health HTTP/1.1\r\nHost: example.org\r\n\r\n").reply().status, 200)
    with Probe(program, "--host=*") as probe, probe.client() as client:
        expect_same(client.send(b"GET /health HTTP/1.1\r\nHost: example.org\r\n\r\n").reply().status, 200)


def refusal(program, address):
    ran = subprocess.run([program, address], capture_output=True, text=True, timeout=PATIENCE)
    expect_same((ran.returncode, ran.stdout, ran.stderr.count("\n")), (5, "", 1))
    return ran.stderr


@case
def bad_addresses_are_explained(program):
    for address in "nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:8a", ":8080", "[::1:80", "[::1]80":
        expect("write NAME:PORT" in refusal(program, address), refusal(program, address))
    expect("no address of this machine" in refusal(program, "192.0.2.1:0"), refusal(program, "192.0.2.1:0"))
    expect("no such host" in refusal(program, "256.0.0.1:80"), refusal(program, "256.0.0.1:80"))
    expect("did you mean unix:/tmp/socket" in refusal(program, "/tmp/socket"))
    expect("1 to 107 bytes" in refusal(program, "unix:" + "a" * 200))
    expect("1 to 107 bytes" in refusal(program, "unix:"))
    with Probe(program) as probe:
        expect("in use by another program" in refusal(program, probe.address), refusal(program, probe.address))


@case
def unix_sockets_are_served(program):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "socket"
        with Probe(program, address=f"unix:{path}") as probe:
            with probe.client() as client:
                reply = client.send(post("/echo", 1) + b"a").reply()
                expect_same((reply.body, reply.headers["x-peer"]), (b"a", "unix"))
            with probe.client() as client:
                client.send(get("/stream?n=5"))
                expect_same(client.reply().body.count(b"data:"), 6)
                client.send(b"GET /health HTTP/1.1\r\nHost: example.org\r\n\r\n")
                expect_same(client.reply().status, 200)
            said = refusal(program, f"unix:{path}")
            expect("in use by another program" in said and "another path" in said and "port" not in said, said)
            probe.process.kill()
            probe.process.wait()
        expect(path.is_socket())  # and nobody listens
        with Probe(program, address=f"unix:{path}") as probe:
            expect_same(probe.get("/health").status, 200)
            probe.process.terminate()
            expect_same((probe.process.wait(PATIENCE), path.exists()), (0, False))
        path.write_text("a file")
        expect("no socket" in refusal(program, f"unix:{path}"))
        expect_same(path.read_text(), "a file")


@case
def addresses_of_both_families(program):
    with Probe(program, address="localhost:0") as probe:
        with probe.client() as client:
            expect_same(client.send(post("/echo", 0)).reply().headers["x-peer"], "127.0.0.1")
    if not pathlib.Path("/proc/net/if_inet6").exists() or "00000000000000000000000000000001" not in pathlib.Path(
            "/proc/net/if_inet6").read_text():
        return
    with Probe(program, address="[::1]:0") as probe:
        expect(probe.address.startswith("[::1]:"), probe.address)
        with probe.client() as client:
            expect_same(client.send(post("/echo", 0)).reply().headers["x-peer"], "::1")


@case
def silent_clients_are_probed_by_the_kernel(program):
    """A machine that was switched off sends no end: the server's side of an idle connection has the timer of SO_KEEPALIVE."""
    with Probe(program) as probe, probe.client() as client:
        client.send(HEALTH)
        expect_same(client.reply().status, 200)
        ends = f":{probe.place[1]:04X}", f":{client.socket.getsockname()[1]:04X}"
        rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
        timers = [row[5] for row in rows if row[1].endswith(ends[0]) and row[2].endswith(ends[1]) and row[3] == "01"]
        expect(len(timers) == 1 and timers[0].startswith("02:"), timers)


# ---- streams, and the end of the server


@case
def one_event_is_one_send(program):
    with Probe(program) as probe, probe.client() as client:
        client.send(get("/stream?n=10&ms=40"))
        reads = []
        while not reads or not reads[-1].endswith(b"0\r\n\r\n"):
            reads.append(client.socket.recv(1 << 16))
        event = b"1c\r\ndata: " + b"x" * 20 + b"\n\n\r\n"
        expect_same(reads[1:11], [event] * 10)
        expect_same(reads[11:], [b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"])
        expect(reads[0].endswith(b"\r\n\r\n") and b"x-bad" not in reads[0].lower(), reads[0])


@case
def drain_ends_streams_in_order(program):
    with Probe(program, "--tick_s=0.05", "--linger_s=0.2") as probe, probe.client() as stream, probe.client() as idle, probe.client() as partial:
        stream.send(get("/stream?n=30&ms=20") + HEALTH)
        idle.send(HEALTH)
        expect_same(idle.reply().status, 200)
        partial.send(HEALTH[:20])
        time.sleep(0.1)
        probe.process.terminate()
        expect_same(probe.line(), "signal 15")
        expect_same(probe.get("/health").status, 200)  # whoever comes is told whatever there is to say
        partial.send(HEALTH[20:])
        idle.send(HEALTH)
        for client in (partial, idle):
            expect_same(client.reply().headers["connection"], "close")
            client.until_closed()
        expect_same(stream.reply().body.count(b"data:"), 31)
        stream.until_closed()
        expect_same((stream.data, probe.process.wait(PATIENCE)), (b"", 0))
        try:
            probe.client()
            expect(False, "connected to a server that has ended")
        except ConnectionRefusedError:
            pass


@case
def a_second_signal_stops(program):
    with Probe(program) as probe, probe.client() as client:
        client.send(get("/never"))
        time.sleep(0.05)
        for _ in range(2):
            probe.process.send_signal(signal.SIGTERM)
            expect_same(probe.line(), "signal 15")
        expect_same((probe.line(), probe.process.wait(PATIENCE)), ("gone /never", 0))
        client.until_closed()


@case
def docs_have_the_tables(program):
    root = pathlib.Path(__file__).resolve().parents[2]
    lines = (root / "docs" / "serving.md").read_text().splitlines()
    limits = re.findall(r'TFR_HTTP_LIMIT\(\w+, (\w+), ([^,]+), "([^"]*)"\)', (root / "core/app/http/http_limits.def").read_text())
    faults = re.findall(r'TFR_HTTP_FAULT\(\w+, (\d+), "(\w+)", "([^"]*)"\)', (root / "core/app/http/http_faults.def").read_text())
    expect(len(limits) > 15 and len(faults) > 15, limits, faults)
    for name, value, what in limits:
        expect(f"| `{name}` | {value} | {what} |" in lines, name)
    for status, code, text in faults:
        expect(f"| {status} | `{code}` | {text} |" in lines, text)


if __name__ == "__main__":
    sys.exit(main(lambda program, source, folder: program))
