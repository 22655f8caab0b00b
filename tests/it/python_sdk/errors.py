"""Each of the SDK's exceptions, from the answer that it stands for."""

import json
import os
import urllib.request

import e2b
from e2b import Sandbox
from e2b.exceptions import (
    FileNotFoundException,
    SandboxNotFoundException,
    SandboxNotRunningException,
    SandboxUnreachableException,
    ServiceBusyException,
)


def faults(*rules):
    body = json.dumps({"faults": rules}).encode()
    url = os.environ["E2B_API_URL"] + "/_sim/faults"
    urllib.request.urlopen(urllib.request.Request(url, body, method="PUT")).close()


def raises(exception, call):
    try:
        call()
    except Exception as raised:
        assert type(raised) is exception, repr(raised)
        return raised
    raise AssertionError(f"nothing was raised, not {exception}")


def responds(response, on):
    faults({"name": response, "kind": "respond", "response": response, "on": [on]})


nowhere = "i" + "0" * 20
sandbox = Sandbox.create("base")
run = lambda: sandbox.commands.run("true")
read = lambda: sandbox.files.read("/tmp/x")

raises(e2b.AuthenticationException, lambda: Sandbox.create("base", api_key="wrong"))
raises(e2b.SandboxException, lambda: Sandbox.create("no-such-template"))
raises(e2b.SandboxException, lambda: Sandbox.create("base", timeout=90_000))
raises(e2b.TemplateException, lambda: Sandbox.create("old"))
raises(SandboxNotFoundException, lambda: Sandbox.connect(nowhere))
raises(SandboxNotFoundException, lambda: Sandbox.get_info(nowhere))
raises(SandboxNotFoundException, lambda: Sandbox.set_timeout(nowhere, 60))
raises(SandboxNotFoundException, lambda: Sandbox.pause(nowhere))
raises(FileNotFoundException, read)
raises(e2b.InvalidArgumentException, lambda: sandbox.commands.run("true", cwd="/nope"))
raises(e2b.InvalidArgumentException, lambda: sandbox.files.list("/tmp/../bin/../etc/../x", depth=0))
raises(e2b.AuthenticationException, lambda: sandbox.commands.run("true", user="nobody"))
raises(e2b.NotEnoughSpaceException, lambda: sandbox.files.write("/tmp/big", "x" * (16 << 20)))
raises(e2b.CommandExitException, lambda: sandbox.commands.run("false"))
raises(e2b.NotFoundException, lambda: sandbox.commands.send_stdin(999_999, "x"))
raises(e2b.TimeoutException, lambda: sandbox.commands.run("sleep 9", timeout=0.2))

# What is tried again too often would take its time.
responds("capacity_503", "sandbox_info")
raises(ServiceBusyException, lambda: sandbox.get_info(request_timeout=1))
responds("rate_429", "sandbox_info")
raises(e2b.RateLimitException, lambda: sandbox.get_info(request_timeout=1))
responds("internal_500", "sandbox_info")
assert raises(e2b.SandboxException, sandbox.get_info).status_code == 500

responds("connections_429", "envd")
raises(e2b.RateLimitException, read)
responds("port_closed_502", "envd")
raises(SandboxUnreachableException, run)
raises(SandboxUnreachableException, read)
responds("route_502", "envd")
raises(SandboxUnreachableException, read)
responds("transitioning_409", "envd")
raises(e2b.SandboxException, read)
responds("not_found_502", "envd")
raises(SandboxNotRunningException, run)
raises(SandboxNotRunningException, read)
faults()
assert run().exit_code == 0

# The connection breaks, and the look that follows finds the sandbox gone.
command = sandbox.commands.run("sleep 60", background=True)
assert sandbox.kill()
raises(SandboxNotRunningException, command.wait)
raises(SandboxNotRunningException, run)

print("done")
