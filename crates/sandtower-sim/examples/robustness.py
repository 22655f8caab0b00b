"""Loads a simulator as bad clients do, and prints what that leaves in it.

python3 crates/sandtower-sim/examples/robustness.py target/release/sandtower-sim
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

FAST = """
about = "Nothing takes any time."
[world]
create_median = "1ms"
api_latency = "0s"
envd_latency = "0s"
command_latency = "0s"
"""

scenario = tempfile.NamedTemporaryFile("w", suffix=".toml")
scenario.write(FAST)
scenario.flush()
program = subprocess.Popen(
    [sys.argv[1], "--listen", "127.0.0.1:0", "--plan", "pro", "--scenario", scenario.name],
    stdout=subprocess.PIPE,
    text=True,
)
address = program.stdout.readline().strip().removeprefix("listening on http://")
host, port = address.split(":")


def connection():
    return http.client.HTTPConnection(host, int(port), timeout=60)


def held():
    """Resident memory in MiB, and open files."""
    with open(f"/proc/{program.pid}/statm") as memory:
        pages = int(memory.read().split()[1])
    return pages * 4 // 1024, len(os.listdir(f"/proc/{program.pid}/fd"))


def call(to, method, path, headers, body=None):
    to.request(method, path, body=body, headers=headers)
    response = to.getresponse()
    return response.status, response.read()


def key(name):
    return {"X-API-Key": f"e2b_{name}", "Content-Type": "application/json"}


def create(to, name, timeout=60):
    body = json.dumps({"templateID": "base", "timeout": timeout})
    status, response = call(to, "POST", "/v2/sandboxes", key(name), body)
    assert status == 201, (status, response)
    sandbox = json.loads(response)
    inside = {
        "E2b-Sandbox-Id": sandbox["sandboxID"],
        "E2b-Sandbox-Port": "49983",
        "X-Access-Token": sandbox["envdAccessToken"],
        "Connect-Protocol-Version": "1",
    }
    return sandbox["sandboxID"], inside


def start(script):
    message = json.dumps({"process": {"cmd": "/bin/bash", "args": ["-l", "-c", script]}}).encode()
    return b"\0" + len(message).to_bytes(4, "big") + message


def at_once(count, work):
    errors = []

    def guarded(number):
        try:
            work(number)
        except Exception as error:
            errors.append(repr(error))

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def rounds(client):
    to = connection()
    for _ in range(12):
        sandbox, inside = create(to, client)
        binary = {**inside, "Content-Type": "application/octet-stream"}
        path = "/files?path=/tmp/x&username=user"
        assert call(to, "POST", path, binary, b"hello" * 100)[0] == 200
        assert call(to, "GET", path, inside) == (200, b"hello" * 100)
        stream = {**inside, "Content-Type": "application/connect+json"}
        run = start("echo hi; cat /tmp/x | wc -c")
        status, events = call(to, "POST", "/process.Process/Start", stream, run)
        assert status == 200 and b'"exited":true' in events, events
        assert call(to, "DELETE", f"/sandboxes/{sandbox}", key(client))[0] == 204


def lives(part, client):
    to = connection()
    for number in range(625):
        # A limit is for each team: a few teams for each client.
        team = f"{part}_{client}_{number // 20}"
        sandbox, _ = create(to, team)
        assert call(to, "DELETE", f"/sandboxes/{sandbox}", key(team))[0] == 204


def abort(inside, path, kind, length, sent):
    stream = socket.create_connection((host, int(port)))
    fields = {**inside, "Host": "x", "Content-Type": kind, "Content-Length": length}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    stream.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + sent)
    if length == len(sent):
        stream.recv(100)
    stream.close()


try:
    began = time.monotonic()
    errors = at_once(200, rounds)
    passed = time.monotonic() - began
    print(f"200 clients x 12 rounds: {len(errors)} errors {errors[:2]}, {passed:.1f} s, held {held()}")

    marks = []
    for part in range(3):
        errors = at_once(16, lambda client: lives(part, client))
        marks.append((len(errors), *held()))
    print(f"30,000 lives: errors and held after each 10,000: {marks}")

    to = connection()
    sandboxes = [create(to, f"open_{number}", 3_000) for number in range(15)]
    for number in range(450):
        run = start("sleep 2")
        _, inside = sandboxes[number % 15]
        abort(inside, "/process.Process/Start", "application/connect+json", len(run), run)
    for number in range(300):
        _, inside = sandboxes[number % 15]
        path = f"/files?path=/tmp/up{number}&username=user"
        abort(inside, path, "application/octet-stream", 1_000_000, b"x" * 200_000)
    time.sleep(4)
    processes, files = 0, 0
    for _, inside in sandboxes:
        plain = {**inside, "Content-Type": "application/json"}
        _, listed = call(to, "POST", "/process.Process/List", plain, "{}")
        processes += len(json.loads(listed).get("processes", []))
        path = json.dumps({"path": "/tmp"})
        _, listed = call(to, "POST", "/filesystem.Filesystem/ListDir", plain, path)
        files += len(json.loads(listed).get("entries", []))
    print(f"450 aborted streams, 300 aborted uploads: {processes} processes, {files} files, held {held()}")
finally:
    program.terminate()
    print(f"exit code {program.wait(10)}")
