import { setImmediate as turn } from 'node:timers/promises'
import { mock } from 'node:test'
import t from 'tap'
import { Streams } from '../../plugins/mcp/streams.ts'
import type { Stream } from '../../plugins/mcp/streams.ts'
import type { Principal } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { keepAliveMs } from '../../src/protocol/sse.ts'

const principal = (roles: readonly string[]): Principal => ({ id: 'alice', name: 'alice', roles, tokenId: 't', tokenKind: 'access', clientId: 'c', scopes: null, expiresAt: Infinity })

t.test('a stream outlives a database that cannot be asked, has its rights renewed once it can, and ends with its credential', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  let answer: () => Promise<Principal> = async () => principal(['before'])
  let asked = 0
  const streams = new Streams({} as Policy, async () => { asked++; return await answer() }, () => {})
  t.teardown(() => streams.close())
  const stream: Stream = {
    principal: principal(['before']),
    authorization: 'Bearer x',
    session: undefined,
    endpoint: undefined,
    wants: undefined,
    resources: undefined,
    meta: undefined,
    send () {},
    comment: () => true,
    end () { remove() },
  }
  const remove = streams.add(stream)
  await turn()

  answer = async () => { throw new Error('timeout exceeded when trying to connect') }
  streams.recheck('alice')
  await turn()
  t.equal(streams.size, 1, 'nobody said that the credential is not honoured')
  answer = async () => { throw new Refusal('PORTCULLIS_ISSUER_UNAVAILABLE') }
  mock.timers.tick(keepAliveMs)
  await turn()
  t.equal(streams.size, 1)
  t.equal(asked, 3, 'it is asked again')
  answer = async () => principal(['after'])
  mock.timers.tick(keepAliveMs)
  await turn()
  t.same(stream.principal.roles, ['after'])
  mock.timers.tick(keepAliveMs)
  t.equal(asked, 4, 'until there is an answer')

  answer = async () => { throw new Refusal('PORTCULLIS_INVALID_TOKEN') }
  streams.recheck('alice')
  await turn()
  t.equal(streams.size, 0)
})
