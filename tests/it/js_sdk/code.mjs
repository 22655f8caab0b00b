// Code and its contexts, through the official SDK of the code interpreter.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

const require = createRequire(process.env.SANDTOWER_NODE_MODULES + '/')
const { Sandbox } = require('@e2b/code-interpreter')

const sandbox = await Sandbox.create({ timeoutMs: 60_000 })
let ran = await sandbox.runCode("x = 20\nprint('hi')\nx * 2 + 2")
assert.deepEqual([ran.text, ran.logs.stdout, ran.executionCount, ran.error], ['42', ['hi\n'], 1, undefined])

const told = []
await sandbox.runCode('x += 1; print(x)', { onStdout: (line) => told.push(line.line) })
assert.deepEqual(told, ['21\n'])
ran = await sandbox.runCode("import os; os.environ['NOW']", { envs: { NOW: 'there' } })
assert.equal(ran.text, 'there')
ran = await sandbox.runCode("raise ValueError('bad')")
assert.deepEqual([ran.error.name, ran.error.value], ['ValueError', 'bad'])

const languages = (await sandbox.listCodeContexts()).map((listed) => listed.language)
assert.deepEqual(languages.sort(), ['javascript', 'python'])
const context = await sandbox.createCodeContext({ cwd: '/tmp' })
assert.equal((await sandbox.runCode('x', { context })).error.name, 'NameError')
await sandbox.runCode("x = 'its own'", { context })
assert.equal((await sandbox.runCode('x', { context })).text, 'its own')
assert.equal((await sandbox.runCode('x')).text, '21')
assert.ok((await sandbox.listCodeContexts()).some((listed) => listed.id === context.id))
await sandbox.restartCodeContext(context)
await sandbox.removeCodeContext(context)
await assert.rejects(sandbox.runCode('x', { context }))
assert.equal(await sandbox.kill(), true)
console.log('done')
// The SDK's timers of what failed would keep it for a minute.
process.exit()
