import { once } from 'node:events'
import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'

import t from 'tap'
import type { Test } from 'tap'

import { ReceivedMessage } from '../src/received-message.ts'
import { until } from './support/until.ts'

type Handler = (message: ReceivedMessage, response: ServerResponse) => Promise<void>

/** A server whose messages are read by `handler`, and a connection to it. */
async function talk (t: Test, handler: Handler): Promise<{ socket: Socket, answers: () => string }> {
  const server = createServer({ IncomingMessage: ReceivedMessage }, (message, response) => {
    handler(message, response).catch((error: unknown) => { response.writeHead(500).end(String(error)) })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').setEncoding('utf8')
  let text = ''
  socket.on('data', (some: string) => { text += some })
  socket.on('error', () => {})
  t.teardown(() => { socket.destroy(); server.closeAllConnections(); server.close() })
  await once(socket, 'connect')
  return { socket, answers: () => text }
}

function post (body: string): string {
  return `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

/** Reads it as any program does that knows nothing of taking. */
async function streamed (message: ReceivedMessage): Promise<string> {
  let text = ''
  for await (const chunk of message) text += String(chunk)
  return text
}

t.test('a body that came in one piece is taken, once, and the connection goes on', async t => {
  const seen: (string | undefined)[] = []
  const { socket, answers } = await talk(t, async (message, response) => {
    await nextTurn()
    seen.push(message.takeWhole()?.toString(), message.takeWhole()?.toString())
    response.end(`${message.complete} ${message.destroyed}`)
  })
  socket.write(post('{"a":1}') + post('{"b":2}') + 'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n')
  await until(() => answers().match(/HTTP\/1.1 200/g)?.length === 3 && answers().match(/true false/g)?.length === 3)
  t.strictSame(seen, ['{"a":1}', undefined, '{"b":2}', undefined, 'abc', undefined])
  t.equal(answers().match(/true false/g)?.length, 3)
})

t.test('what was taken is not held for the next message, and neither ends nor aborts when its client leaves', async t => {
  const heard: string[] = []
  let left: () => void
  const gone = new Promise<void>(resolve => { left = resolve })
  const { socket } = await talk(t, async (message, response) => {
    for (const name of ['aborted', 'end']) message.on(name, () => heard.push(name))
    response.on('close', () => left())
    await nextTurn()
    t.equal(message.takeWhole()?.toString(), 'whole')
    t.ok(message.readableEnded, 'node:http lets go of it')
    socket.destroy()
  })
  socket.write(post('whole'))
  await gone
  t.strictSame(heard, [])
})

t.test('whoever reads it as a stream gets it whole, before and after it is there', async t => {
  const { socket, answers } = await talk(t, async (message, response) => {
    if (message.headers['x-late'] !== undefined) for (let turn = 0; turn < 5; turn++) await nextTurn()
    const text = await streamed(message)
    t.equal(message.takeWhole(), undefined, 'a stream cannot be taken')
    response.end(`<${text}>`)
  })
  socket.write(post('at once'))
  await until(() => answers().includes('<at once>'))
  socket.write(post('later').replace('Host', 'X-Late: 1\r\nHost'))
  await until(() => answers().includes('<later>'))
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await until(() => answers().includes('<>'))
  t.match(answers(), /<at once>[^]*<later>[^]*<>/)
})

t.test('pipes, listeners and read() get it too', async t => {
  const readers: Record<string, (message: ReceivedMessage, response: ServerResponse) => void> = {
    pipe: (message, response) => { message.pipe(response) },
    data: (message, response) => { message.on('data', (some: Buffer) => response.write(some)).on('end', () => response.end()) },
    readable: (message, response) => { message.on('readable', () => { for (let some; (some = message.read()) !== null;) response.write(some) }).on('end', () => response.end()) },
    read: (message, response) => { response.end(message.read() as Buffer) },
  }
  const { socket, answers } = await talk(t, async (message, response) => {
    await nextTurn()
    readers[String(message.headers['x-reader'])]?.(message, response)
  })
  for (const name of Object.keys(readers)) {
    socket.write(post(`<${name}>`).replace('Host', `X-Reader: ${name}\r\nHost`))
    await until(() => answers().includes(`<${name}>`))
    t.match(answers(), `<${name}>`)
  }
})

t.test('a body in several pieces is a stream, in their order', async t => {
  const { socket, answers } = await talk(t, async (message, response) => {
    await until(() => message.complete)
    t.equal(message.takeWhole(), undefined)
    response.end(`<${await streamed(message)}>`)
  })
  socket.write('POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n1\r\ne\r\n0\r\n\r\n')
  await until(() => answers().includes('<abcde>'))
  t.match(answers(), '<abcde>')
})

t.test('what nobody reads is passed over, and the next message on the connection is answered', async t => {
  const { socket, answers } = await talk(t, async (message, response) => { response.end(`<${String(message.headers['content-length'])}>`) })
  for (const body of ['a', 'x'.repeat(300_000), 'bc']) {
    socket.write(post(body))
    await until(() => answers().includes(`<${body.length}>`))
  }
  t.match(answers(), /<1>[^]*<300000>[^]*<2>/)
})
