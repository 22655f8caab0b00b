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
  // Signed URLs name no sandbox: a browser sends no headers.
  const other = await Sandbox.create('base')
  await sandbox.files.write('/tmp/signed', 'by hand')
  const url = await sandbox.downloadUrl('/tmp/signed')
  assert.equal(await (await fetch(url)).text(), 'by hand')
  const late = await sandbox.downloadUrl('/tmp/signed', { useSignatureExpiration: 100_000 })
  assert.equal(await (await fetch(late)).text(), 'by hand')
  const form = new FormData()
  form.append('file', new Blob(['there']), 'put')
  assert.equal((await fetch(await sandbox.uploadUrl('/tmp/put'), { method: 'POST', body: form })).status, 200)
  assert.equal(await sandbox.files.read('/tmp/put'), 'there')
  const unsigned = url.replace(/&?signature=[^&]*/, '')
  // Under a domain, the host names the sandbox.
  assert.equal((await fetch(unsigned)).status, process.env.E2B_SANDBOX_URL ? 400 : 401)
  const headers = { 'E2b-Sandbox-Id': sandbox.sandboxId, 'E2b-Sandbox-Port': '49983' }
  assert.equal((await fetch(unsigned, { headers })).status, 401)
  await other.kill()
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

async function filters() {
  const other = await Sandbox.create('code-interpreter-v1')
  const listed = async (query) => (await Sandbox.list({ query }).nextItems()).map((found) => found.sandboxId)
  assert.deepEqual(await listed({ template: 'code-interpreter-v1' }), [other.sandboxId])
  assert.deepEqual(await listed({ startedAfter: new Date(Date.now() + 3_600_000) }), [])
  assert.equal((await listed({ startedAfter: new Date(Date.now() - 60_000) }))[0], other.sandboxId)
  assert.equal(await other.kill(), true)
}

async function metadata() {
  const written = await sandbox.files.write('/tmp/marked', 'x', { metadata: { author: 'me' } })
  assert.deepEqual(written.metadata, { author: 'me' })
  assert.deepEqual((await sandbox.files.getInfo('/tmp/marked')).metadata, { author: 'me' })
}

async function snapshots() {
  await sandbox.files.write('/tmp/state', 'before')
  const forks = await sandbox.fork({ count: 2, timeoutMs: 60_000 })
  const snapshot = await sandbox.createSnapshot({ name: 'mine' })
  await sandbox.files.write('/tmp/state', 'after')
  const created = await Sandbox.create(snapshot.snapshotId)
  for (const other of [...forks, created]) {
    assert.equal(await other.files.read('/tmp/state'), 'before')
    assert.equal(await other.kill(), true)
  }
  const listed = await sandbox.listSnapshots().nextItems()
  assert.deepEqual(listed.map((found) => found.snapshotId), [snapshot.snapshotId])
  assert.equal(await Sandbox.deleteSnapshot(snapshot.snapshotId), true)
  assert.equal(await Sandbox.deleteSnapshot(snapshot.snapshotId), false)
}

async function boots() {
  const bootId = async () => (await sandbox.commands.run('cat /proc/sys/kernel/random/boot_id')).stdout
  const first = await bootId()
  await sandbox.pause()
  await sandbox.connect({ timeoutMs: 60_000 })
  assert.equal(await bootId(), first)
  await sandbox.pause({ keepMemory: false })
  await sandbox.connect({ timeoutMs: 60_000 })
  assert.notEqual(await bootId(), first)
}

async function network() {
  const hidden = await Sandbox.create('code-interpreter-v1', { network: { allowPublicTraffic: false } })
  const url = process.env.E2B_SANDBOX_URL ?? `https://${hidden.getHost(49999)}`
  const health = async (headers) => {
    const route = { 'E2b-Sandbox-Id': hidden.sandboxId, 'E2b-Sandbox-Port': '49999' }
    return (await fetch(url + '/health', { headers: { ...route, ...headers } })).status
  }
  assert.equal(await health({}), 403)
  assert.equal(await health({ 'e2b-traffic-access-token': hidden.trafficAccessToken }), 200)
  await hidden.updateNetwork({ denyOut: ['8.8.8.8'] })
  assert.equal(await hidden.kill(), true)
}

async function templates() {
  assert.equal(await e2b.Template.exists('base'), true)
  assert.equal(await e2b.Template.exists('no-such-template'), false)
  assert.deepEqual(await e2b.Volume.list(), [])
  assert.deepEqual(await e2b.Secret.list().nextItems(), [])
}

async function refuses() {
  await assert.rejects(sandbox.commands.run('echo done > /tmp/done; git clone x'), (error) => {
    assert.deepEqual([error.exitCode, error.stderr], [127, 'not simulated: git\n'])
    return true
  })
  assert.equal(await sandbox.files.exists('/tmp/done'), false)
}

async function atOnce() {
  const apiKey = 'e2b_' + '1'.repeat(40)
  const others = await Promise.all(Array.from({ length: 30 }, () => Sandbox.create('base', { apiKey })))
  assert.equal(new Set(others.map((other) => other.sandboxId)).size, 30)
  assert.ok((await Promise.all(others.map((other) => other.kill({ apiKey })))).every(Boolean))
  const ended = await Sandbox.create('base')
  await ended.setTimeout(0)
  assert.equal(await ended.isRunning(), false)
}

for (const part of [life, commands, files, watching, secured, pause, filters, metadata, snapshots, boots, network,
  templates, refuses, atOnce]) {
  await part()
  console.log(part.name)
}
assert.equal(await sandbox.kill(), true)
assert.equal(await sandbox.kill(), false)
// The SDK's timers of what failed would keep it for a minute.
process.exit()
