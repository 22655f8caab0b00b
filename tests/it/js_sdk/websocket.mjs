// A websocket to port 3000 of a sandbox, by the host that the SDK makes of it.
import { createRequire } from 'node:module'
const require = createRequire(process.env.SANDTOWER_NODE_MODULES + '/')
const { Sandbox } = require('e2b')
const { WebSocket } = require('undici')

const sandbox = await Sandbox.create('base')
const socket = new WebSocket(`wss://${sandbox.getHost(3000)}/socket`)
const waiting = []
socket.addEventListener('message', ({ data }) => waiting.shift()(data))
await new Promise((resolve, reject) => {
  socket.addEventListener('open', resolve)
  socket.addEventListener('error', ({ error }) => reject(error))
})
for (const message of ['first', 'second']) {
  const back = new Promise((resolve) => waiting.push(resolve))
  socket.send(message)
  console.log(await back)
}
const closed = new Promise((resolve) => socket.addEventListener('close', resolve))
socket.close()
await closed
await sandbox.kill()
console.log('done')
