import t from 'tap'
import { Dialogue } from '../../src/bridge/dialogue.ts'
import { Parking } from '../../src/bridge/parking.ts'
import { openState, sealState, stateMs } from '../../src/bridge/request-state.ts'
import { Call } from '../../src/call.ts'
import type { Arrival, ReplyTo } from '../../src/call.ts'
import { Ask } from '../../src/upstreams/ask.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import { until } from '../support/gateway.ts'

t.test('52: a call that nobody comes back for is ended: its server is told that nobody answered, and that it is over', async (t) => {
  const parking = new Parking(50)
  t.teardown(() => parking.close())
  const told: string[] = []
  const instance = { extend () {}, cancel: (id: number, { code }: { code: string }) => { told.push(`cancel ${id} ${code}`) } } as unknown as Instance
  const dialogue = new Dialogue('r', () => {})
  dialogue.id = 7
  for (const method of ['elicitation/create', 'sampling/createMessage']) dialogue.asked(new Ask(method, {}, (members) => { told.push(members) }))
  const id = parking.park({ principalId: 'alice', instance, dialogue })
  await until(() => parking.size === 0)
  t.same(told, ['"result":{"action":"cancel"}', '"error":{"code":-1,"message":"Nobody answered."}', 'cancel 7 PORTCULLIS_STATE_EXPIRED'])
  t.equal(parking.take(id), undefined, 'and it cannot be taken back')
})

t.test('53: a state is good until it expires, and not a moment longer', async (t) => {
  const key = Buffer.alloc(32, 7)
  const call = new Call('r', { principal: { id: 'alice' }, headers: {} } as Arrival, {} as ReplyTo, { value: {}, text: '', exotic: false })
  const sealed = sealState(key, call, { kind: 'again' }, 1_000)
  t.same(openState(key, call, sealed, 1_000 + stateMs - 1), { kind: 'again' })
  t.equal(openState(key, call, sealed, 1_000 + stateMs), undefined)
  t.equal(openState(Buffer.alloc(32, 8), call, sealed, 1_000), undefined, 'nor with another key')
})
