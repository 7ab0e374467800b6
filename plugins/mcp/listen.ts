import type { Answered, Call } from '../../src/call.ts'
import { meta } from '../../src/protocol/era.ts'
import { isObject } from '../../src/protocol/message.ts'
import { notification } from '../../src/protocol/reply.ts'
import { ownResult } from '../../src/bridge/result.ts'
import { Refusal } from '../../src/errors.ts'
import type { Gate } from './gate.ts'
import { introductionFor } from './handshake.ts'
import { watchAll } from './listen-resources.ts'
import { mustHaveRoom } from './open.ts'
import { ownerOf } from './owner.ts'
import { unwatch } from './watch.ts'

/** What a listen may ask for here → the capability that offers it. */
const kinds = { toolsListChanged: 'tools', promptsListChanged: 'prompts', resourcesListChanged: 'resources' } as const

/**
 * subscriptions/listen: a 2026-07-28 client's stream of news. The first message says what was honoured; the stream
 * lasts until the client leaves or the gateway stops.
 */
export async function listen (gate: Gate, call: Call): Promise<Answered> {
  if (call.givenUp !== undefined) throw call.givenUp
  if (!call.reply.streams) throw new Refusal('PORTCULLIS_NOT_ACCEPTABLE', { message: 'A listen is answered by a stream: accept text/event-stream.' })
  mustHaveRoom(gate, call.principal)
  const asked = call.params['notifications']
  if (!isObject(asked)) throw new Refusal('PORTCULLIS_INVALID_PARAMS', { message: 'params.notifications must be an object that says what to listen to.' })
  const { capabilities } = await introductionFor(gate, call)
  const honoured = Object.entries(kinds).filter(([kind, name]) => asked[kind] === true && isObject(capabilities[name]) && capabilities[name]['listChanged'] === true)
  const resources = await watchAll(gate, call, asked['resourceSubscriptions'])
  try {
    if (call.givenUp !== undefined) throw call.givenUp
    mustHaveRoom(gate, call.principal) // others may have been opened while the upstream started
  } catch (error) {
    release(gate, call, resources)
    throw error
  }
  const stamp = { [meta.subscriptionId]: call.id }
  call.reply.notify(notification('notifications/subscriptions/acknowledged', { notifications: { ...Object.fromEntries(honoured.map(([kind]) => [kind, true])), ...(resources.size === 0 ? {} : { resourceSubscriptions: [...resources.keys()] }) }, _meta: stamp }))
  const wants = new Set(honoured.map(([, name]) => `notifications/${name}/list_changed`))
  if (resources.size > 0) wants.add('notifications/resources/updated')
  await untilEnd(gate, call, wants, resources, stamp).finally(() => release(gate, call, resources))
  return { kind: 'result', text: ownResult({ _meta: stamp }, 'modern', call.record), toolError: false }
}

function authorizationOf (call: Call): string | undefined {
  const { authorization } = call.arrival.headers
  return typeof authorization === 'string' ? authorization : undefined
}

/** Who no longer listens does not keep an upstream telling. */
function release (gate: Gate, call: Call, resources: ReadonlyMap<string, string>): void {
  for (const [uri, upstream] of resources) {
    const instance = gate.supervisor.peek(upstream, ownerOf(call), call.era)
    try {
      if (instance !== undefined) unwatch(gate, instance, uri)
    } catch {
      // the upstream is gone, and with it what it would have told
    }
  }
}

function untilEnd (gate: Gate, call: Call, wants: ReadonlySet<string>, resources: ReadonlyMap<string, string>, stamp: Record<string, unknown>): Promise<void> {
  return new Promise((resolve, reject) => {
    const remove = gate.streams.add({
      principal: call.principal,
      authorization: authorizationOf(call),
      session: undefined,
      endpoint: call.arrival.endpoint,
      wants,
      resources,
      meta: stamp,
      send: (message) => call.reply.notify(message),
      comment: (text) => call.reply.comment(text),
      end: () => {
        remove()
        resolve()
      },
    })
    call.cancel = (refusal) => {
      remove()
      reject(refusal)
    }
  })
}
