// Each of the SDK's errors, from the answer that it stands for.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

const require = createRequire(process.env.SANDTOWER_NODE_MODULES + '/')
const e2b = require('e2b')
const { Sandbox } = e2b

async function faults(...rules) {
  const url = process.env.E2B_API_URL + '/_sim/faults'
  const set = await fetch(url, { method: 'PUT', body: JSON.stringify({ faults: rules }) })
  assert.equal(set.status, 204)
}

async function raises(kind, working) {
  await assert.rejects(working, (error) => {
    assert.equal(error.constructor.name, kind.name, String(error))
    return true
  })
}

const responds = (response, on) => faults({ name: response, kind: 'respond', response, on: [on] })

const nowhere = 'i' + '0'.repeat(20)
const sandbox = await Sandbox.create('base')
const run = () => sandbox.commands.run('true')
const read = () => sandbox.files.read('/tmp/x')

await raises(e2b.AuthenticationError, () => Sandbox.create('base', { apiKey: 'e2b_' }))
await raises(e2b.SandboxError, () => Sandbox.create('no-such-template'))
await raises(e2b.TemplateError, () => Sandbox.create('old'))
await raises(e2b.SandboxNotFoundError, () => Sandbox.connect(nowhere))
await raises(e2b.SandboxNotFoundError, () => Sandbox.getInfo(nowhere))
await raises(e2b.SandboxNotFoundError, () => Sandbox.setTimeout(nowhere, 60_000))
await raises(e2b.FileNotFoundError, read)
await raises(e2b.InvalidArgumentError, () => sandbox.commands.run('true', { cwd: '/nope' }))
await raises(e2b.AuthenticationError, () => sandbox.commands.run('true', { user: 'nobody' }))
await raises(e2b.NotEnoughSpaceError, () => sandbox.files.write('/tmp/big', 'x'.repeat(16 << 20)))
await raises(e2b.CommandExitError, () => sandbox.commands.run('false'))
await raises(e2b.NotFoundError, () => sandbox.commands.sendStdin(999_999, 'x'))
await raises(e2b.TimeoutError, () => sandbox.commands.run('sleep 9', { timeoutMs: 200 }))

await responds('capacity_503', 'sandbox_info')
await raises(e2b.ServiceBusyError, () => sandbox.getInfo())
await responds('rate_429', 'sandbox_info')
await raises(e2b.RateLimitError, () => sandbox.getInfo({ requestTimeoutMs: 1_000 }))
await responds('internal_500', 'sandbox_info')
await raises(e2b.SandboxError, () => sandbox.getInfo())
await responds('connections_429', 'envd')
await raises(e2b.RateLimitError, read)
await responds('port_closed_502', 'envd')
await raises(e2b.TimeoutError, read)
await responds('not_found_502', 'envd')
await raises(e2b.TimeoutError, read)
await raises(e2b.SandboxNotFoundError, run)
await faults()
assert.equal((await run()).exitCode, 0)
await sandbox.kill()
await raises(e2b.SandboxNotFoundError, run)
console.log('done')
// The SDK's timers of what failed would keep it for a minute.
process.exit()
