import t from 'tap'

import { converse } from '../../plugins/mcp/converse.ts'
import type { Gate } from '../../plugins/mcp/gate.ts'
import { Call } from '../../src/call.ts'
import type { Arrival, ReplyTo } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import { Turns } from '../../src/upstreams/turns.ts'

t.test('63: a call whose client left before it began gives its turn to the next', async (t) => {
  const turns = new Turns(true, () => {})
  const asked: string[] = []
  const instance = { turns, timeoutMs: 60_000, request: (method: string) => { asked.push(method); return 1 } } as unknown as Instance
  const call = new Call('record', {} as Arrival, {} as ReplyTo, { value: undefined, text: '', exotic: false })
  call.giveUp(new Refusal('PORTCULLIS_CANCELLED'))
  await t.rejects(converse({} as Gate, call, instance), { code: 'PORTCULLIS_CANCELLED' })
  t.same(asked, [], 'the upstream was not contacted')
  t.equal(turns.enter({ place: -1, asked () {} } as Parameters<Turns['enter']>[0], 60_000), undefined, 'nobody has to be waited for')
})
