"""All that the simulator covers, through the official SDK, which knows its place only."""

import asyncio
import concurrent.futures
import datetime
import os
import time
import urllib.error
import urllib.request

from e2b import (
    AsyncSandbox,
    CommandExitException,
    FileNotFoundException,
    FilesystemEventType,
    InvalidArgumentException,
    NotFoundException,
    PtySize,
    Sandbox,
    SandboxException,
    SandboxQuery,
    SandboxState,
    Secret,
    Template,
    TimeoutException,
    Volume,
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
    """Signed URLs name no sandbox: a browser sends no headers."""
    others = [Sandbox.create("base") for _ in range(2)]
    sandbox.files.write("/tmp/signed", "by hand")
    for url in (
        sandbox.download_url("/tmp/signed"),
        sandbox.download_url("/tmp/signed", use_signature_expiration=100),
        sandbox.download_url("/tmp/signed", user="root"),
    ):
        assert urllib.request.urlopen(url).read() == b"by hand"
    url = sandbox.upload_url("/tmp/put")
    headers = {"Content-Type": "application/octet-stream"}
    urllib.request.urlopen(urllib.request.Request(url, b"there", headers)).close()
    assert sandbox.files.read("/tmp/put") == "there"
    assert all(other.kill() for other in others)


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


def filters():
    began = datetime.datetime.now(datetime.timezone.utc)
    other = Sandbox.create("code-interpreter-v1")
    listed = lambda **query: [
        found.sandbox_id for found in Sandbox.list(query=SandboxQuery(**query)).next_items()
    ]
    assert listed(template="code-interpreter-v1") == [other.sandbox_id]
    assert listed(started_after=began - datetime.timedelta(seconds=1))[0] == other.sandbox_id
    assert listed(started_after=began + datetime.timedelta(hours=1)) == []
    oldest = Sandbox.list(order="asc").next_items()[0]
    assert oldest.sandbox_id == sandbox.sandbox_id
    assert len(other.get_metrics(start=began + datetime.timedelta(hours=1))) == 0
    assert other.kill()


def metadata():
    written = sandbox.files.write("/tmp/marked", "x", metadata={"Author": "me", "n": "1"})
    assert written.metadata == {"author": "me", "n": "1"}, written
    assert sandbox.files.get_info("/tmp/marked").metadata == written.metadata
    moved = sandbox.files.rename("/tmp/marked", "/tmp/moved")
    assert moved.metadata == written.metadata, moved
    assert sandbox.files.write("/tmp/moved", "y").metadata is None


def snapshots():
    sandbox.files.write("/tmp/state", "before")
    forks = sandbox.fork(count=2, timeout=60)
    snapshot = sandbox.create_snapshot(name="mine")
    plain = sandbox.create_snapshot()
    sandbox.files.write("/tmp/state", "after")
    assert [fork.files.read("/tmp/state") for fork in forks] == ["before", "before"]
    assert forks[0].get_info().metadata == sandbox.get_info().metadata
    boot_id = lambda of: of.commands.run("cat /proc/sys/kernel/random/boot_id").stdout
    assert boot_id(forks[0]) == boot_id(sandbox)
    listed = sandbox.list_snapshots().next_items()
    assert [found.snapshot_id for found in listed] == [plain.snapshot_id, snapshot.snapshot_id]
    created = Sandbox.create(snapshot.snapshot_id)
    assert created.files.read("/tmp/state") == "before"
    for done in [*forks, created]:
        assert done.kill()
    assert Sandbox.delete_snapshot(snapshot.snapshot_id) is True
    assert Sandbox.delete_snapshot(snapshot.snapshot_id) is False
    many = sandbox.fork(count=20)
    assert len({fork.sandbox_id for fork in many}) == 20 and all(fork.kill() for fork in many)


def boots():
    boot_id = lambda: sandbox.commands.run("cat /proc/sys/kernel/random/boot_id").stdout
    first = boot_id()
    sandbox.files.write("/tmp/kept", "on disk")
    sandbox.pause()
    sandbox.connect(timeout=120)
    assert boot_id() == first
    sandbox.pause(mode="filesystem")
    sandbox.connect(timeout=120)
    second = boot_id()
    assert second != first and sandbox.files.read("/tmp/kept") == "on disk"
    sandbox.pause()
    sandbox.connect(timeout=120, on_resume="reboot")
    assert boot_id() != second


def network():
    private = Sandbox.create("code-interpreter-v1", network={"allow_public_traffic": False})
    url = (os.environ.get("E2B_SANDBOX_URL") or "https://" + private.get_host(49999)) + "/health"

    def status(headers):
        route = {"E2b-Sandbox-Id": private.sandbox_id, "E2b-Sandbox-Port": "49999"}
        try:
            return urllib.request.urlopen(urllib.request.Request(url, headers=route | headers)).status
        except urllib.error.HTTPError as error:
            return error.code

    assert status({}) == 403
    assert status({"e2b-traffic-access-token": private.traffic_access_token}) == 200
    private.update_network({"deny_out": ["8.8.8.8"]})
    assert private.get_info().network["deny_out"] == ["8.8.8.8"]
    assert private.kill()


def templates():
    assert Template.exists("base") is True
    assert Template.exists("no-such-template") is False
    assert Volume.list() == []
    assert Secret.list().next_items() == []


def refuses():
    """What is not simulated is never taken for what is not there, nor for done."""
    try:
        sandbox.commands.run("echo done > /tmp/done; git clone x")
        raise AssertionError("it succeeded")
    except CommandExitException as error:
        assert (error.exit_code, error.stderr) == (127, "not simulated: git\n"), error
    assert not sandbox.files.exists("/tmp/done")
    script = "if [ -e /tmp/done ]\nthen\n  echo yes\nelse\n  echo no | cat\nfi"
    assert sandbox.commands.run(script).stdout == "no\n"
    try:
        sandbox.pty.create(PtySize(rows=24, cols=80))
        raise AssertionError("there is a terminal")
    except SandboxException as error:
        assert "not simulated" in str(error), error


def at_once():
    """The creations that are limited wait as they are told to, and none is lost."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        key = "e2b_" + "1" * 40
        created = list(pool.map(lambda _: Sandbox.create("base", api_key=key), range(30)))
    assert len({other.sandbox_id for other in created}) == 30
    assert all(other.kill(api_key=key) for other in created)


PARTS = (life, commands, files, watching, secured, pause, filters, metadata, snapshots, boots,
         network, templates, refuses, at_once)
for part in PARTS:
    part()
    print(part.__name__)

assert sandbox.kill() is True
assert sandbox.kill() is False

# A time-out of zero ends a sandbox.
ended = Sandbox.create("base")
ended.set_timeout(0)
assert ended.is_running() is False
