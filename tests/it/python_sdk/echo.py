"""A sandbox's life through the official SDK, which is told where E2B is by its environment only."""

from e2b import Sandbox

sandbox = Sandbox.create("base", timeout=60, metadata={"sandtower-call": "python-sdk"})
assert sandbox.is_running()

result = sandbox.commands.run("echo hi")
assert (result.stdout, result.stderr, result.exit_code) == ("hi\n", "", 0), result

assert sandbox.kill() is True
assert sandbox.kill() is False
assert sandbox.is_running() is False

print("done")
