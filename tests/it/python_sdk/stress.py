"""An application of 6 users with 2 queries each, whose agents run code in sandboxes: it retries every failure
twice, whatever it was. Prints what became of it within 6 minutes as JSON. All its times are scaled by the first
argument."""

import concurrent.futures
import json
import os
import random
import sys
import threading
import time

from e2b import Sandbox

USERS, QUERIES, RUNS, FAILURES, RETRIES, SANDBOXES = 6, 2, 2, 5, 2, 10
scale = float(sys.argv[1])
places = threading.Semaphore(SANDBOXES)
lock = threading.Lock()
seen = {"done": 0, "failed": 0, "retries": 0, "completed": 0, "seconds": [], "errors": {}}


def count(what):
    with lock:
        seen[what] += 1


def run_code():
    """Runs code for 4 s in a sandbox of its own."""
    sandbox = Sandbox.create("base", timeout=300, request_timeout=60 * scale)
    try:
        sandbox.commands.run(f"sleep {4 * scale}", request_timeout=60 * scale)
    finally:
        sandbox.kill(request_timeout=60 * scale)


def execute():
    """Whether it was done, after at most two retries."""
    with places:
        for attempt in range(1 + RETRIES):
            try:
                run_code()
                count("done")
                return True
            except Exception as error:
                name = type(error).__name__
                with lock:
                    seen["errors"][name] = seen["errors"].get(name, 0) + 1
            if attempt < RETRIES:
                count("retries")
                time.sleep(1 * scale)
        count("failed")
        return False


def think(seconds, numbers):
    time.sleep(seconds * scale * (0.8 + 0.4 * numbers.random()))


def query(numbers):
    began = time.monotonic()
    done = failures = 0
    think(4, numbers)
    while done < RUNS and failures < FAILURES:
        if execute():
            done += 1
            think(4, numbers)
        else:
            failures += 1
            think(2, numbers)
    with lock:
        seen["completed"] += done == RUNS
        seen["seconds"].append(time.monotonic() - began)


def use(user):
    numbers = random.Random(user)
    for _ in range(QUERIES):
        query(numbers)


pool = concurrent.futures.ThreadPoolExecutor(USERS)
users = [pool.submit(use, user) for user in range(USERS)]
concurrent.futures.wait(users, timeout=360 * scale)
with lock:
    # Not after the others: they may have minutes left.
    print(json.dumps(seen), flush=True)
    os._exit(0)
