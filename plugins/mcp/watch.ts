import type { Answer } from '../../src/upstreams/answer.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import type { Gate } from './gate.ts'

/** Has the upstream tell of changes of a resource; false when it does not. */
export async function watch (instance: Instance, uri: string): Promise<boolean> {
  if (instance.listening !== undefined) return instance.listening.add(uri)
  const answer = await new Promise<Answer | undefined>((resolve) => {
    instance.request('resources/subscribe', () => JSON.stringify({ uri }), { answer: resolve, fail: () => resolve(undefined) })
  })
  return answer?.kind === 'result'
}

/** Somebody lost interest: the upstream is told when nobody is left who wants to know. */
export function unwatch (gate: Pick<Gate, 'sessions' | 'streams'>, principalId: string, instance: Instance, uri: string): void {
  if (isWatched(gate, principalId, instance, uri)) return
  if (instance.listening !== undefined) return instance.listening.remove(uri)
  instance.request('resources/unsubscribe', () => JSON.stringify({ uri }), { answer () {}, fail () {} })
}

/** A shared instance has the interests of everybody. */
export function isWatched ({ sessions, streams }: Pick<Gate, 'sessions' | 'streams'>, principalId: string, { owner }: Instance, uri: string): boolean {
  const those = owner === '*' ? sessions.all() : sessions.of(principalId)
  return [...those].some(({ subscriptions }) => subscriptions.has(uri)) || streams.watches(owner === '*' ? undefined : principalId, uri)
}
