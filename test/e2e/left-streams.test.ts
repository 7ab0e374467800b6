import { connect } from 'node:net'
import t from 'tap'
import { startGateway, until } from '../support/gateway.ts'

t.test('a client of HTTP+SSE that leaves while it is authenticated leaves no stream behind', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const { identity, server } = gateway.gateway.app
  const authenticate = identity.authenticate.bind(identity)
  let asked = false
  const left = new Promise((resolve) => server.once('connection', (socket) => socket.once('close', resolve)))
  identity.authenticate = async (authorization) => {
    asked = true
    const principal = await authenticate(authorization)
    await left
    return principal
  }
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
  socket.write(`GET /sse/fixture HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\naccept: text/event-stream\r\n\r\n`)
  await until(() => asked)
  socket.destroy()
  await until(async () => (await gateway.rows({ kind: 'session', method: 'GET' })).length === 1)
  t.match(await (await fetch(gateway.metricsUrl)).text(), /portcullis_streams 0$/m)
})
