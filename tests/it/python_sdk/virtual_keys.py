"""Two virtual keys of one gateway, by the SDK as it is: each has its own sandboxes and its own limits."""

import sys

from e2b import Sandbox, SandboxQuery, NotFoundException, RateLimitException

one, other = sys.argv[1:]

sandbox = Sandbox.create("base", api_key=one, metadata={"user": "u-1"})
assert sandbox.commands.run("echo hi").stdout == "hi\n"
sandbox.files.write("a.txt", "text")
assert sandbox.files.read("a.txt") == "text"

# It is there for its own key, with no marks on it.
info = sandbox.get_info()
assert info.metadata == {"user": "u-1"}, info.metadata
assert [found.sandbox_id for found in Sandbox.list(api_key=one).next_items()] == [sandbox.sandbox_id]
query = SandboxQuery(metadata={"user": "u-1"})
assert len(Sandbox.list(query=query, api_key=one).next_items()) == 1
print("own")

# And for no other one.
assert Sandbox.list(api_key=other).next_items() == []
try:
    Sandbox.connect(sandbox.sandbox_id, api_key=other)
    raise AssertionError("connected")
except NotFoundException:
    pass
assert Sandbox.kill(sandbox.sandbox_id, api_key=other) is False
assert sandbox.is_running()
print("isolated")

# A limit of two: the third is rejected, in an exception that says so.
second = Sandbox.create("base", api_key=one)
try:
    Sandbox.create("base", api_key=one)
    raise AssertionError("created")
except RateLimitException as error:
    assert "maximum number of concurrent E2B sandboxes (2)" in str(error), error
second.pause()
third = Sandbox.create("base", api_key=one)
try:
    Sandbox.connect(second.sandbox_id, api_key=one)
    raise AssertionError("resumed")
except RateLimitException:
    pass
assert third.kill() is True
again = Sandbox.connect(second.sandbox_id, api_key=one)
assert again.commands.run("echo hi").stdout == "hi\n"
print("limited")

assert again.kill() is True
assert sandbox.kill() is True
assert Sandbox.list(api_key=one).next_items() == []
print("done")
