// Sandboxes created, used and killed while much goes wrong: each call succeeds or throws the SDK's own.
import { createRequire } from 'node:module'
const require = createRequire(process.env.SANDTOWER_NODE_MODULES + '/')
const e2b = require('e2b')
const { Sandbox } = e2b

const [tasks, rounds] = process.argv.slice(2).map(Number)
const outcomes = {}

function count(name) {
  outcomes[name] = (outcomes[name] ?? 0) + 1
}

// What the call returns, or undefined after one of the SDK's own errors.
async function attempt(call) {
  try {
    const result = await call()
    count('ok')
    return result ?? true
  } catch (error) {
    if (!Object.values(e2b).includes(error.constructor)) throw error
    count(error.name)
    return undefined
  }
}

async function use(number) {
  for (let round = 0; round < rounds; round++) {
    const sandbox = await attempt(() => Sandbox.create('base', { timeoutMs: 300_000, metadata: { n: `${number}` } }))
    if (sandbox === undefined) continue
    await attempt(() => sandbox.files.write('/tmp/a.txt', 'text'))
    await attempt(() => sandbox.files.read('/tmp/a.txt'))
    const ran = await attempt(() => sandbox.commands.run('echo out'))
    if (ran !== undefined && ran.stdout !== 'out\n') throw new Error(JSON.stringify(ran))
    await attempt(() => sandbox.getInfo())
    while ((await attempt(() => sandbox.kill())) === undefined);
  }
}

await Promise.all(Array.from({ length: tasks }, (_, number) => use(number)))
console.log(Object.entries(outcomes).sort().map(([name, count]) => `${name}=${count}`).join(' '))
