import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'

import fastify from 'fastify'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'

import { receive } from '../../plugins/mcp/body.ts'

t.test('a message whose client left while its token was looked up ends with an error; the others of the same moment are served', async t => {
  const app = fastify()
  t.teardown(async () => await app.close())
  const errors: string[] = []
  const echo = (request: FastifyRequest, reply: FastifyReply): void => { void reply.send(request.body) }
  app.setErrorHandler((error: Error & { code?: string }, _request, reply) => {
    errors.push(error.code ?? error.message)
    void reply.code(400).send()
  })
  app.addHook('onRequest', async ({ headers, raw }) => {
    if (headers['x-leaves'] !== undefined) await new Promise(resolve => raw.once('close', resolve)) // events.once would listen for its error too
  })
  app.post('/', { onRequest: receive(100, (_request, _reply, done) => done(), echo) }, echo)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo

  const socket = connect(port, '127.0.0.1')
  socket.write('POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Leaves: 1\r\nContent-Length: 50\r\n\r\n{"half":', () => socket.destroy())
  const post = async (body: string): Promise<Response> => await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers: { 'content-type': 'application/json; charset=utf-8' }, body })
  const answers = await Promise.all([post('{"a":1}'), post('x'.repeat(101)), post('{"b":2}')])
  t.strictSame(await Promise.all(answers.map(async answer => await answer.text())), ['{"a":1}', '', '{"b":2}'])
  await app.close()
  t.strictSame(errors.toSorted(), ['ECONNRESET', 'PORTCULLIS_BODY_TOO_LARGE'])
})
