"""Two virtual keys of one gateway with a warm pool, by the SDK as it is. Prints the sandboxes of the first."""

import sys
import time

from e2b import NotFoundException, Sandbox

one, other = sys.argv[1:]


def listed(key):
    paginator = Sandbox.list(api_key=key, limit=2)
    found = []
    while paginator.has_next:
        found += [sandbox.sandbox_id for sandbox in paginator.next_items()]
    assert len(found) == len(set(found)), found
    return set(found)


mine = []
for _ in range(10):
    # A pool learns from the first ones what to keep warm.
    sandbox = Sandbox.create("base", api_key=one, timeout=120)
    assert sandbox.commands.run("echo hi").stdout == "hi\n"
    assert sandbox.get_info().metadata == {}
    mine.append(sandbox)
    time.sleep(0.5)
ids = [sandbox.sandbox_id for sandbox in mine]
theirs = Sandbox.create("base", api_key=other, timeout=120)
assert listed(one) == set(ids)
assert listed(other) == {theirs.sandbox_id}

for sandbox in mine:
    try:
        Sandbox.connect(sandbox.sandbox_id, api_key=other)
        raise AssertionError("connected")
    except NotFoundException:
        pass
    assert Sandbox.kill(sandbox.sandbox_id, api_key=other) is False

mine[-1].pause()
again = Sandbox.connect(ids[-1], api_key=one)
assert again.commands.run("echo hi").stdout == "hi\n"
assert listed(one) == set(ids)
print(*ids)
for sandbox in mine:
    assert sandbox.kill() is True
assert listed(one) == set()
assert theirs.is_running() and theirs.kill() is True
