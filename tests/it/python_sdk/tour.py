"""All that the simulator covers, through the official SDK, which knows its place only."""

import asyncio
import time
import urllib.request

from e2b import (
    AsyncSandbox,
    CommandExitException,
    FileNotFoundException,
    FilesystemEventType,
    InvalidArgumentException,
    NotFoundException,
    Sandbox,
    SandboxQuery,
    SandboxState,
    TimeoutException,
)

sandbox = Sandbox.create(
    "base", timeout=120, metadata={"app": "x y", "req": "a&b=c"}, envs={"GREETING": "hello"}
)


def life():
    assert Sandbox.connect(sandbox.sandbox_id).commands.run("echo same").stdout == "same\n"
    info = sandbox.get_info()
    assert (info.sandbox_id, info.state) == (sandbox.sandbox_id, SandboxState.RUNNING)
    assert info.metadata == {"app": "x y", "req": "a&b=c"}, info.metadata
    before = info.end_at
    sandbox.set_timeout(600)
    assert (sandbox.get_info().end_at - before).total_seconds() > 250
    assert len(sandbox.get_metrics()) > 0

    found = Sandbox.list(query=SandboxQuery(metadata={"req": "a&b=c"})).next_items()
    assert [listed.sandbox_id for listed in found] == [sandbox.sandbox_id]
    assert Sandbox.list(query=SandboxQuery(metadata={"req": "other"})).next_items() == []

    others = [Sandbox.create("base", metadata={"page": "yes"}) for _ in range(2)]
    pages = Sandbox.list(query=SandboxQuery(metadata={"page": "yes"}), limit=1)
    seen = []
    while pages.has_next:
        seen += [listed.sandbox_id for listed in pages.next_items()]
    assert sorted(seen) == sorted(other.sandbox_id for other in others), seen
    assert all(other.kill() for other in others)


def commands():
    ran = sandbox.commands.run("echo out; echo err >&2; echo $GREETING $NAME; pwd; whoami",
                               envs={"NAME": "you"}, cwd="/tmp", user="root")
    assert ran.stdout == "out\nhello you\n/tmp\nroot\n" and ran.stderr == "err\n", ran
    try:
        sandbox.commands.run("echo bad >&2; exit 3")
        raise AssertionError("it succeeded")
    except CommandExitException as error:
        assert (error.exit_code, error.stderr) == (3, "bad\n"), error

    streamed = []
    sandbox.commands.run("echo one; sleep 0.2; echo two", on_stdout=streamed.append)
    assert streamed == ["one\n", "two\n"], streamed

    reader = sandbox.commands.run("cat; echo end", background=True, stdin=True)
    sandbox.commands.send_stdin(reader.pid, "to you\n")
    reader.close_stdin()
    assert reader.wait().stdout == "to you\nend\n"

    fed = sandbox.commands.run("wc -l", background=True, stdin=True)
    sandbox.commands.stream_input(fed.pid, ["a\n", "b\n", "c\n"])
    fed.close_stdin()
    assert fed.wait().stdout == "3\n"

    sleeper = sandbox.commands.run("sleep 60", background=True)
    assert [process.pid for process in sandbox.commands.list()] == [sleeper.pid]
    sleeper.disconnect()
    again = sandbox.commands.connect(sleeper.pid)
    assert sandbox.commands.kill(sleeper.pid) is True
    try:
        again.wait()
        raise AssertionError("it succeeded")
    except CommandExitException as error:
        assert error.error == "signal: killed", error
    assert sandbox.commands.kill(sleeper.pid) is False
    assert sandbox.commands.list() == []

    try:
        sandbox.commands.run("sleep 60", timeout=1)
        raise AssertionError("it ended")
    except TimeoutException:
        pass


def files():
    written = sandbox.files.write("/tmp/new/a.txt", "some text\n")
    assert (written.name, written.path) == ("a.txt", "/tmp/new/a.txt"), written
    assert sandbox.files.read("/tmp/new/a.txt") == "some text\n"
    assert sandbox.commands.run("cat /tmp/new/a.txt").stdout == "some text\n"
    sandbox.files.write("bytes.bin", b"\x00\xff\r\n--x")
    assert bytes(sandbox.files.read("/home/user/bytes.bin", format="bytes")) == b"\x00\xff\r\n--x"
    packed = "again and again\n" * 1000
    sandbox.files.write("/tmp/new/packed", packed, gzip=True)
    assert sandbox.files.read("/tmp/new/packed", gzip=True) == packed
    assert sandbox.commands.run("wc -c /tmp/new/packed").stdout.startswith("16000 ")
    sandbox.files.remove("/tmp/new/packed")
    several = [{"path": f"/tmp/new/{n}", "data": str(n)} for n in range(3)]
    assert len(sandbox.files.write_files(several)) == 3
    assert sandbox.files.make_dir("/tmp/new/deep/er") is True
    assert sandbox.files.make_dir("/tmp/new/deep/er") is False
    names = sorted(entry.name for entry in sandbox.files.list("/tmp/new"))
    assert names == ["0", "1", "2", "a.txt", "deep"], names
    assert len(sandbox.files.list("/tmp/new", depth=2)) == 6
    moved = sandbox.files.rename("/tmp/new/a.txt", "/tmp/b.txt")
    assert moved.path == "/tmp/b.txt", moved
    assert not sandbox.files.exists("/tmp/new/a.txt") and sandbox.files.exists("/tmp/b.txt")
    info = sandbox.files.get_info("/tmp/b.txt")
    assert (info.size, info.permissions, info.owner) == (10, "-rw-r--r--", "user"), info
    sandbox.files.remove("/tmp/new")
    assert not sandbox.files.exists("/tmp/new/0")
    for wrong in (lambda: sandbox.files.read("/nope"), lambda: sandbox.files.list("/nope")):
        try:
            wrong()
            raise AssertionError("it is there")
        except FileNotFoundException as error:
            assert isinstance(error, NotFoundException)
    try:
        sandbox.files.read("/tmp")
        raise AssertionError("it is a file")
    except InvalidArgumentException:
        pass


def watching():
    sandbox.files.make_dir("/tmp/watched/deep")
    watcher = sandbox.files.watch_dir("/tmp/watched", recursive=True, include_entry=True)
    assert watcher.get_new_events() == []
    sandbox.files.write("/tmp/watched/deep/a", "some")
    sandbox.commands.run("cd /tmp/watched; mv deep/a b; rm b")
    events = watcher.get_new_events()
    assert [(event.type, event.name) for event in events] == [
        (FilesystemEventType.CREATE, "deep/a"),
        (FilesystemEventType.CHMOD, "deep/a"),
        (FilesystemEventType.WRITE, "deep/a"),
        (FilesystemEventType.RENAME, "deep/a"),
        (FilesystemEventType.CREATE, "b"),
        (FilesystemEventType.REMOVE, "b"),
    ], events
    assert (events[2].entry.path, events[2].entry.size) == ("/tmp/watched/deep/a", 4), events[2]
    watcher.stop()
    for wrong, raised in (("/nope", FileNotFoundException), ("/tmp/b.txt", InvalidArgumentException)):
        try:
            sandbox.files.watch_dir(wrong)
            raise AssertionError("it is watched")
        except raised:
            pass
    asyncio.run(streamed())


async def streamed():
    """The asynchronous half of the SDK watches by a stream."""
    same = await AsyncSandbox.connect(sandbox.sandbox_id)
    seen = asyncio.Queue()
    watcher = await same.files.watch_dir("/tmp/watched", on_event=seen.put)
    await same.files.write("/tmp/watched/c", "some")
    events = [await seen.get() for _ in range(3)]
    assert [(event.type.value, event.name) for event in events] == [
        ("create", "c"),
        ("chmod", "c"),
        ("write", "c"),
    ], events
    await watcher.stop()
    assert (await same.commands.run("echo both")).stdout == "both\n"


def secured():
    sandbox.files.write("/tmp/signed", "by hand")
    with urllib.request.urlopen(at_home(sandbox.download_url("/tmp/signed"))) as answer:
        assert answer.read() == b"by hand"
    late = sandbox.download_url("/tmp/signed", use_signature_expiration=100)
    with urllib.request.urlopen(at_home(late)) as answer:
        assert answer.read() == b"by hand"


def at_home(url):
    """The URL with the headers' part in it: a browser sends none."""
    request = urllib.request.Request(url)
    request.add_header("E2b-Sandbox-Id", sandbox.sandbox_id)
    request.add_header("E2b-Sandbox-Port", "49983")
    return request


def pause():
    sandbox.files.write("/tmp/kept", "still here")
    assert sandbox.pause() is True
    assert sandbox.pause() is False
    assert sandbox.get_info().state == SandboxState.PAUSED
    assert sandbox.is_running() is False
    query = SandboxQuery(state=[SandboxState.PAUSED])
    assert [found.sandbox_id for found in Sandbox.list(query=query).next_items()] == [
        sandbox.sandbox_id
    ]
    sandbox.connect(timeout=60)
    assert sandbox.is_running() and sandbox.files.read("/tmp/kept") == "still here"

    lasting = Sandbox.create("base", timeout=1, lifecycle={"on_timeout": "pause", "auto_resume": True})
    time.sleep(1.2)
    assert lasting.get_info().state == SandboxState.PAUSED
    assert lasting.commands.run("echo woken").stdout == "woken\n"
    assert lasting.get_info().state == SandboxState.RUNNING
    assert lasting.kill()


for part in (life, commands, files, watching, secured, pause):
    part()
    print(part.__name__)

assert sandbox.kill() is True
assert sandbox.kill() is False
