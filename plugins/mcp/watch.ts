import type { Answer } from '../../src/upstreams/answer.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import type { Gate } from './gate.ts'
import { mayRead } from './may-read.ts'

type Watchers = Pick<Gate, 'policy' | 'sessions' | 'streams' | 'supervisor'>

/** Has the upstream tell of changes of a resource; false when it does not. */
export async function watch (instance: Instance, uri: string): Promise<boolean> {
  if (instance.listening !== undefined) return instance.listening.add(uri)
  const answer = await new Promise<Answer | undefined>((resolve) => {
    instance.request('resources/subscribe', () => JSON.stringify({ uri }), { answer: resolve, fail: () => resolve(undefined) })
  })
  return answer?.kind === 'result'
}

/** Somebody lost interest: the upstream is told when nobody is left who wants to know. */
export function unwatch (gate: Watchers, instance: Instance, uri: string): void {
  if (watched(gate, instance).has(uri)) return
  if (instance.listening !== undefined) return instance.listening.remove(uri)
  instance.request('resources/unsubscribe', () => JSON.stringify({ uri }), { answer () {}, fail () {} })
}

/**
 * The resources that somebody who is served by this instance wants to hear of. A listen counts for what its principal may
 * still read; a session, which holds no rights, for all that it subscribed to.
 */
export function watched ({ policy, sessions, streams, supervisor }: Watchers, instance: Instance): ReadonlySet<string> {
  const { upstream, owner } = instance
  const user = owner === '*' ? undefined : owner.split(' ')[0]
  const uris = new Set<string>()
  for (const { principalId, id, subscriptions } of user === undefined ? sessions.all() : sessions.of(user)) {
    if (subscriptions.size > 0 && supervisor.serves(instance, { user: { id: principalId, name: '' }, session: id }, 'legacy')) collect(subscriptions, () => true)
  }
  for (const { principal, resources } of streams.listens(user)) {
    if (supervisor.serves(instance, { user: principal, session: undefined }, 'modern')) collect(resources, (uri) => mayRead(policy, principal, upstream, uri))
  }
  return uris

  function collect (wanted: ReadonlyMap<string, string>, counts: (uri: string) => boolean): void {
    for (const [uri, told] of wanted) if (told === upstream && counts(uri)) uris.add(uri)
  }
}

/**
 * A new instance knows nothing of what the last one was asked to tell: it is asked anew, and whoever waits for news hears
 * that there may be some, since nobody told of them meanwhile.
 */
export function watchAnew (gate: Watchers & Pick<Gate, 'log'>, instance: Instance): void {
  for (const uri of watched(gate, instance)) {
    watch(instance, uri).then((told) => {
      if (told) gate.streams.publish(instance, 'notifications/resources/updated', { uri })
    }).catch((error: unknown) => gate.log.debug({ upstream: instance.upstream, err: error }, 'an upstream could not be asked anew for its news'))
  }
}
