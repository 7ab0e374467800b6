import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { openRemote } from '../../src/upstreams/remote/cell.ts'

t.test('a request that is too long to be sent is answered with an error, and the server hears nothing of it', async (t) => {
  let seen = 0
  const server = createServer((_request, response) => {
    seen++
    response.writeHead(202).end()
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => server.close())
  const cell = openRemote({
    remote: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`, headers: {}, private: [] },
    headers: {},
    maxMessage: 1_000,
    maxRequest: 100,
    startMs: 1_000,
    record: async () => () => {},
  })
  cell.stdin.write(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"${'x'.repeat(100)}"}}\n`)
  const answer = await new Promise<Buffer>((resolve) => cell.stdout.once('data', resolve))
  t.match(JSON.parse(answer.toString()), { id: 7, error: { code: 413, message: /larger than/ } })
  await cell.stop(0)
  t.equal(await text(cell.stdout), '', 'and nothing else is said')
  t.equal(seen, 0)
})
