"""Sandboxes created, used and killed while much goes wrong: each call succeeds or raises the SDK's own.

Prints how many calls there were, and how many of them failed, by exception."""

import collections
import concurrent.futures
import sys

from e2b import Sandbox

threads, rounds = int(sys.argv[1]), int(sys.argv[2])
outcomes = collections.Counter()


def attempt(call):
    """What the call returns, or None after one of the SDK's own exceptions."""
    try:
        result = call()
    except Exception as raised:
        if type(raised).__module__ != "e2b.exceptions":
            raise
        outcomes[type(raised).__name__] += 1
        return None
    outcomes["ok"] += 1
    return result if result is not None else True


def use(number):
    for _ in range(rounds):
        sandbox = attempt(lambda: Sandbox.create("base", timeout=300, metadata={"n": str(number)}))
        if sandbox is None:
            continue
        written = attempt(lambda: sandbox.files.write("/tmp/a.txt", "text"))
        read = attempt(lambda: sandbox.files.read("/tmp/a.txt"))
        assert read in (None, "text") or not written, read
        ran = attempt(lambda: sandbox.commands.run("echo out"))
        assert ran is None or ran.stdout == "out\n", ran
        attempt(lambda: sandbox.get_info())
        # What a kill that failed has left is not the gateway's to know.
        while attempt(lambda: sandbox.kill()) is None:
            pass


with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    list(pool.map(use, range(threads)))
print(" ".join(f"{name}={count}" for name, count in sorted(outcomes.items())))
