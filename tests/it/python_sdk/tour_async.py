"""What the simulator covers, through the asynchronous half of the official SDK."""

import asyncio
import datetime

import httpx
from e2b import AsyncSandbox, AsyncTemplate, CommandExitException, SandboxQuery, SandboxState


async def life(sandbox):
    info = await sandbox.get_info()
    assert (info.state, info.metadata) == (SandboxState.RUNNING, {"app": "x y"}), info
    await sandbox.set_timeout(600)
    assert (await sandbox.get_info()).end_at - info.end_at > datetime.timedelta(seconds=250)
    query = SandboxQuery(metadata={"app": "x y"}, template="base")
    found = await AsyncSandbox.list(query=query).next_items()
    assert [listed.sandbox_id for listed in found] == [sandbox.sandbox_id]
    assert len(await sandbox.get_metrics()) > 0


async def commands(sandbox):
    ran = await sandbox.commands.run("echo out; echo err >&2; cd /tmp && pwd | cat", envs={"A": "b"})
    assert (ran.stdout, ran.stderr) == ("out\n/tmp\n", "err\n"), ran
    streamed = []
    await sandbox.commands.run("echo one; sleep 0.2; echo two", on_stdout=streamed.append)
    assert streamed == ["one\n", "two\n"], streamed
    reader = await sandbox.commands.run("cat; echo end", background=True, stdin=True)
    await sandbox.commands.send_stdin(reader.pid, "to you\n")
    await reader.close_stdin()
    assert (await reader.wait()).stdout == "to you\nend\n"
    sleepers = [await sandbox.commands.run("sleep 60", background=True) for _ in range(3)]
    assert len(await sandbox.commands.list()) == 3
    for sleeper in sleepers:
        assert await sleeper.kill()
    try:
        await sandbox.commands.run("echo $(date)")
        raise AssertionError("it succeeded")
    except CommandExitException as error:
        assert (error.exit_code, "not simulated" in error.stderr) == (127, True), error


async def files(sandbox):
    written = await sandbox.files.write("/tmp/a", "some", metadata={"author": "me"})
    assert written.metadata == {"author": "me"}
    assert (await sandbox.files.get_info("/tmp/a")).metadata == {"author": "me"}
    async with httpx.AsyncClient() as client:
        assert (await client.get(sandbox.download_url("/tmp/a"))).text == "some"
    assert await sandbox.files.exists("/tmp/a")
    await sandbox.files.remove("/tmp/a")
    assert not await sandbox.files.exists("/tmp/a")


async def snapshots(sandbox):
    await sandbox.files.write("/tmp/state", "before")
    forks = await sandbox.fork(count=2)
    snapshot = await sandbox.create_snapshot()
    await sandbox.files.write("/tmp/state", "after")
    created = await AsyncSandbox.create(snapshot.snapshot_id)
    for other in [*forks, created]:
        assert await other.files.read("/tmp/state") == "before"
        assert await other.kill()
    assert [s.snapshot_id for s in await sandbox.list_snapshots().next_items()] == [snapshot.snapshot_id]
    assert await AsyncSandbox.delete_snapshot(snapshot.snapshot_id)


async def pauses(sandbox):
    boot_id = lambda: sandbox.files.read("/proc/sys/kernel/random/boot_id")
    first = await boot_id()
    assert await sandbox.pause(mode="filesystem")
    assert (await sandbox.get_info()).state == SandboxState.PAUSED
    await sandbox.connect(timeout=60)
    assert await boot_id() != first


async def at_once(sandbox):
    assert await AsyncTemplate.exists("base")
    others = await asyncio.gather(*(AsyncSandbox.create("base", timeout=60) for _ in range(20)))
    ran = await asyncio.gather(*(other.commands.run("echo hi") for other in others))
    assert all(each.stdout == "hi\n" for each in ran)
    assert all(await asyncio.gather(*(other.kill() for other in others)))


async def main():
    sandbox = await AsyncSandbox.create("base", timeout=120, metadata={"app": "x y"})
    for part in (life, commands, files, snapshots, pauses, at_once):
        await part(sandbox)
        print(part.__name__)
    assert await sandbox.kill()


asyncio.run(main())
