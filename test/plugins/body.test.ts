import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'

import fastify from 'fastify'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'

import { reader, receive } from '../../plugins/mcp/body.ts'
import { ReceivedMessage } from '../../src/received-message.ts'
import { until } from '../support/until.ts'

t.test('a message whose client left while its token was looked up ends with an error; the others of the same moment are served', async t => {
  const app = fastify({ http: { IncomingMessage: ReceivedMessage } })
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
  app.post('/', { onRequest: receive(reader({ bytes: 100, together: Infinity, underWay: () => 0 }), (_request, _reply, done) => done(), echo) }, echo)
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

t.test('messages that come at once are acted on some at a time, in their order', async t => {
  const app = fastify({ http: { IncomingMessage: ReceivedMessage } })
  t.teardown(async () => await app.close())
  const turns: number[] = []
  let inThisTurn = 0
  const count = (request: FastifyRequest, reply: FastifyReply): void => {
    if (inThisTurn++ === 0) process.nextTick(() => { turns.push(inThisTurn); inThisTurn = 0 })
    void reply.send(request.body)
  }
  app.post('/', { onRequest: receive(reader({ bytes: 100, together: 3, underWay: () => 0 }), (_request, _reply, done) => done(), count) }, count)
  await app.listen({ host: '127.0.0.1', port: 0 })

  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.setEncoding('utf8').write(Array.from({ length: 8 }, (_, n) => `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"n":${n}}`).join(''))
  let answers = ''
  for await (const text of socket) {
    answers += String(text)
    if (answers.includes('{"n":7}')) break
  }
  t.strictSame(answers.match(/\{"n":\d\}/g), Array.from({ length: 8 }, (_, n) => `{"n":${n}}`))
  t.strictSame(turns, [3, 3, 2])
})

t.test('whoever calls alone after many is held for some turns at most, and the next time for none', async t => {
  const app = fastify({ http: { IncomingMessage: ReceivedMessage } })
  t.teardown(async () => await app.close())
  const echo = (request: FastifyRequest, reply: FastifyReply): void => { void reply.send(request.body) }
  let asked = 0 // whether the group is complete: once a turn
  const askedMeanwhile = (): number => { const times = asked; asked = 0; return times }
  app.post('/', { onRequest: receive(reader({ bytes: 100, together: 3, underWay: () => { asked++; return 0 } }), (_request, _reply, done) => done(), echo) }, echo)
  await app.listen({ host: '127.0.0.1', port: 0 })

  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  const arrived: string[] = []
  let text = ''
  socket.setEncoding('utf8').on('data', (more: string) => {
    text += more
    for (let at = text.search(/\{"n":\d\}/); at >= 0; at = text.search(/\{"n":\d\}/)) {
      arrived.push(text.slice(at + 5, at + 6))
      text = text.slice(at + 7)
    }
  })
  const send = (...numbers: number[]): boolean => socket.write(numbers.map(n => `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"n":${n}}`).join(''))
  send(0, 1, 2, 3, 4)
  await until(() => arrived.length === 5)
  t.equal(askedMeanwhile(), 1, 'the parts of a group are not asked about')
  send(5)
  await until(() => arrived.length === 6)
  t.ok(askedMeanwhile() > 1)
  send(6)
  await until(() => arrived.length === 7)
  t.equal(askedMeanwhile(), 1)
  t.strictSame(arrived, ['0', '1', '2', '3', '4', '5', '6'])
})

t.test('a chunked body that nothing announced is held to the limit too, in one piece and in several', async t => {
  const app = fastify({ http: { IncomingMessage: ReceivedMessage } })
  t.teardown(async () => await app.close())
  app.setErrorHandler((error: Error & { code?: string }, _request, reply) => { void reply.code(413).send(error.code) })
  const echo = (request: FastifyRequest, reply: FastifyReply): void => { void reply.send(request.body) }
  app.post('/', { onRequest: receive(reader({ bytes: 100, together: Infinity, underWay: () => 0 }), (_request, _reply, done) => done(), echo) }, echo)
  await app.listen({ host: '127.0.0.1', port: 0 })

  const chunk = (size: number): string => `${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`
  const statuses: number[] = []
  for (const chunks of [[100], [101], [50, 50], [50, 51]]) {
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1').setEncoding('utf8')
    socket.write(`POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${chunks.map(chunk).join('')}0\r\n\r\n`)
    let answer = ''
    for await (const text of socket) answer += String(text)
    statuses.push(Number(answer.slice(9, 12)))
  }
  t.strictSame(statuses, [200, 413, 200, 413])
})
