"""Sandboxes in two places of one gateway, by the SDK as it is, while home is down for a while.

By files in a folder this says that home has one, and the test that home is down, and up again."""

import os
import sys
import time

from e2b import Sandbox

folder = sys.argv[1]


def wait_for(name):
    while not os.path.exists(os.path.join(folder, name)):
        time.sleep(0.05)


def use(sandbox):
    assert sandbox.commands.run("echo hi").stdout == "hi\n"
    sandbox.files.write("a.txt", sandbox.sandbox_id)
    assert sandbox.files.read("a.txt") == sandbox.sandbox_id


def create(number):
    sandbox = Sandbox.create("base", timeout=300, metadata={"n": str(number)})
    use(sandbox)
    return sandbox


sandboxes = [create(0)]
open(os.path.join(folder, "ready"), "w").close()
wait_for("down")
sandboxes += [create(number) for number in range(1, 4)]
print("created")

wait_for("up")
for number, sandbox in enumerate(sandboxes):
    use(sandbox)
    assert sandbox.get_info().metadata == {"n": str(number)}
    assert Sandbox.connect(sandbox.sandbox_id).commands.run("echo hi").stdout == "hi\n"
    sandbox.set_timeout(200)
    assert sandbox.is_running()
print("used")

pages = Sandbox.list(limit=2)
sizes, found = [], []
while pages.has_next:
    page = pages.next_items()
    sizes.append(len(page))
    found += [one.sandbox_id for one in page]
assert sizes == [2, 2], sizes
assert sorted(found) == sorted(sandbox.sandbox_id for sandbox in sandboxes), found
print("listed")

for sandbox in sandboxes:
    assert sandbox.kill() is True
    assert not sandbox.is_running()
print("done")
