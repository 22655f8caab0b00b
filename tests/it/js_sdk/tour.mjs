// All that the simulator covers, through the official SDK, which knows its place only.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

const require = createRequire(process.env.SANDTOWER_NODE_MODULES + '/')
const e2b = require('e2b')
const { Sandbox } = e2b

const sandbox = await Sandbox.create('base', {
  timeoutMs: 120_000,
  metadata: { app: 'x y', req: 'a&b=c' },
  envs: { GREETING: 'hello' },
})

async function life() {
  const again = await Sandbox.connect(sandbox.sandboxId)
  assert.equal((await again.commands.run('echo same')).stdout, 'same\n')
  const info = await sandbox.getInfo()
  assert.equal(info.state, 'running')
  assert.deepEqual(info.metadata, { app: 'x y', req: 'a&b=c' })
  await sandbox.setTimeout(600_000)
  assert.ok((await sandbox.getInfo()).endAt - info.endAt > 250_000)
  assert.ok((await sandbox.getMetrics()).length > 0)

  const ids = (found) => found.map((listed) => listed.sandboxId)
  const found = Sandbox.list({ query: { metadata: { req: 'a&b=c' } } })
  assert.deepEqual(ids(await found.nextItems()), [sandbox.sandboxId])
  const others = []
  for (let n = 0; n < 2; n++) others.push(await Sandbox.create('base', { metadata: { page: 'yes' } }))
  const pages = Sandbox.list({ query: { metadata: { page: 'yes' } }, limit: 1 })
  const seen = []
  while (pages.hasNext) seen.push(...ids(await pages.nextItems()))
  assert.deepEqual(seen.sort(), ids(others).sort())
  for (const other of others) assert.equal(await other.kill(), true)
}

async function commands() {
  const ran = await sandbox.commands.run('echo out; echo err >&2; echo $GREETING $NAME; pwd; whoami', {
    envs: { NAME: 'you' },
    cwd: '/tmp',
    user: 'root',
  })
  assert.deepEqual([ran.stdout, ran.stderr], ['out\nhello you\n/tmp\nroot\n', 'err\n'])
  await assert.rejects(sandbox.commands.run('echo bad >&2; exit 3'), (error) => {
    assert.ok(error instanceof e2b.CommandExitError)
    assert.deepEqual([error.exitCode, error.stderr], [3, 'bad\n'])
    return true
  })

  const streamed = []
  await sandbox.commands.run('echo one; sleep 0.2; echo two', { onStdout: (data) => streamed.push(data) })
  assert.deepEqual(streamed, ['one\n', 'two\n'])

  const reader = await sandbox.commands.run('cat; echo end', { background: true, stdin: true })
  await sandbox.commands.sendStdin(reader.pid, 'to you\n')
  await sandbox.commands.closeStdin(reader.pid)
  assert.equal((await reader.wait()).stdout, 'to you\nend\n')

  const sleeper = await sandbox.commands.run('sleep 60', { background: true })
  assert.deepEqual((await sandbox.commands.list()).map((process) => process.pid), [sleeper.pid])
  await sleeper.disconnect()
  const again = await sandbox.commands.connect(sleeper.pid)
  assert.equal(await sandbox.commands.kill(sleeper.pid), true)
  await assert.rejects(again.wait(), (error) => error.error === 'signal: killed')
  assert.equal(await sandbox.commands.kill(sleeper.pid), false)

  await assert.rejects(sandbox.commands.run('sleep 60', { timeoutMs: 1_000 }), e2b.TimeoutError)
}

async function files() {
  const written = await sandbox.files.write('/tmp/new/a.txt', 'some text\n')
  assert.equal(written.path, '/tmp/new/a.txt')
  assert.equal(await sandbox.files.read('/tmp/new/a.txt'), 'some text\n')
  const bytes = new Uint8Array([0, 255, 13, 10, 45, 45])
  await sandbox.files.write('bytes.bin', bytes.buffer)
  assert.deepEqual(await sandbox.files.read('/home/user/bytes.bin', { format: 'bytes' }), bytes)
  const packed = 'again and again\n'.repeat(1000)
  await sandbox.files.write('/tmp/packed', packed, { gzip: true })
  assert.equal(await sandbox.files.read('/tmp/packed', { gzip: true }), packed)
  assert.equal((await sandbox.files.getInfo('/tmp/packed')).size, 16_000)
  assert.equal(await sandbox.files.makeDir('/tmp/new/deep'), true)
  assert.equal(await sandbox.files.makeDir('/tmp/new/deep'), false)
  const names = (await sandbox.files.list('/tmp/new')).map((entry) => entry.name)
  assert.deepEqual(names.sort(), ['a.txt', 'deep'])
  assert.equal((await sandbox.files.rename('/tmp/new/a.txt', '/tmp/b.txt')).path, '/tmp/b.txt')
  assert.equal(await sandbox.files.exists('/tmp/new/a.txt'), false)
  assert.equal((await sandbox.files.getInfo('/tmp/b.txt')).size, 10)
  await sandbox.files.remove('/tmp/new')
  assert.equal(await sandbox.files.exists('/tmp/new'), false)
  await assert.rejects(sandbox.files.read('/nope'), e2b.FileNotFoundError)
  await assert.rejects(sandbox.files.read('/tmp'), e2b.InvalidArgumentError)
}

async function watching() {
  await sandbox.files.makeDir('/tmp/watched/deep')
  const seen = []
  let complete
  const all = new Promise((resolve) => (complete = resolve))
  const saw = (event) => {
    seen.push(event)
    if (seen.length === 6) complete()
  }
  const watcher = await sandbox.files.watchDir('/tmp/watched', saw, { recursive: true, includeEntry: true })
  await sandbox.files.write('/tmp/watched/deep/a', 'some')
  await sandbox.commands.run('cd /tmp/watched; mv deep/a b; rm b')
  await all
  assert.deepEqual(
    seen.map((event) => `${event.type} ${event.name}`),
    ['create deep/a', 'chmod deep/a', 'write deep/a', 'rename deep/a', 'create b', 'remove b'],
  )
  assert.equal(seen[2].entry.path, '/tmp/watched/deep/a')
  await watcher.stop()
  await assert.rejects(sandbox.files.watchDir('/nope', saw), e2b.FileNotFoundError)
}

async function secured() {
  await sandbox.files.write('/tmp/signed', 'by hand')
  const url = await sandbox.downloadUrl('/tmp/signed')
  // A browser would send no headers; the way into a sandbox on a single port needs them.
  const headers = { 'E2b-Sandbox-Id': sandbox.sandboxId, 'E2b-Sandbox-Port': '49983' }
  assert.equal(await (await fetch(url, { headers })).text(), 'by hand')
  const unsigned = url.replace(/&?signature=[^&]*/, '')
  assert.equal((await fetch(unsigned, { headers })).status, 401)
}

async function pause() {
  await sandbox.files.write('/tmp/kept', 'still here')
  assert.equal(await sandbox.pause(), true)
  assert.equal(await sandbox.pause(), false)
  assert.equal((await sandbox.getInfo()).state, 'paused')
  assert.equal(await sandbox.isRunning(), false)
  await sandbox.connect({ timeoutMs: 60_000 })
  assert.equal(await sandbox.files.read('/tmp/kept'), 'still here')
}

for (const part of [life, commands, files, watching, secured, pause]) {
  await part()
  console.log(part.name)
}
assert.equal(await sandbox.kill(), true)
assert.equal(await sandbox.kill(), false)
// The SDK's timers of what failed would keep it for a minute.
process.exit()
