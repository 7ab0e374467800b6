import type { Era } from './era.ts'

/** What the gateway does with a method; a method that is not in the table does not exist. */
export interface MethodSpec {
  readonly kind: 'request' | 'notification'
  readonly eras: readonly Era[]
  /** Which member of params names what the message is about. */
  readonly target?: { readonly kind: 'tool' | 'prompt' | 'resource', readonly member: 'name' | 'uri' }
  /** `taskId` names the task it is about. */
  readonly task?: true
  /** The members of params that go to an upstream; what no check looks at is not passed on. */
  readonly members?: readonly string[]
  /** An upstream may ask the client something before it answers. */
  readonly asks?: true
  /** Counted by the rate limits. */
  readonly limited?: true
  /** Says no more than a few words, and is not counted: its message is kept so small that nobody waits for its checks. */
  readonly small?: true
  /** A legacy message that may come before a session exists. */
  readonly sessionless?: true
  /** Left out of the audit log: says nothing about what anybody did. */
  readonly unrecorded?: true
}

const both: readonly Era[] = ['legacy', 'modern']
const legacy: readonly Era[] = ['legacy']
const modern: readonly Era[] = ['modern']

/** What a 2026-07-28 client adds when it answers an upstream's `input_required`. */
export const retry: readonly string[] = ['inputResponses', 'requestState']

/** Every method of every revision that Portcullis serves. */
export const methods: Readonly<Record<string, MethodSpec>> = Object.assign(Object.create(null) as object, {
  initialize: { kind: 'request', eras: legacy, sessionless: true },
  ping: { kind: 'request', eras: legacy, sessionless: true, unrecorded: true },
  'server/discover': { kind: 'request', eras: modern },
  'tools/list': { kind: 'request', eras: both, members: ['cursor'], small: true },
  'prompts/list': { kind: 'request', eras: both, members: ['cursor'], small: true },
  'resources/list': { kind: 'request', eras: both, members: ['cursor'], small: true },
  'resources/templates/list': { kind: 'request', eras: both, members: ['cursor'], small: true },
  'tools/call': { kind: 'request', eras: both, target: { kind: 'tool', member: 'name' }, members: ['name', 'arguments', 'task', ...retry], limited: true, asks: true },
  'prompts/get': { kind: 'request', eras: both, target: { kind: 'prompt', member: 'name' }, members: ['name', 'arguments', ...retry], limited: true, asks: true },
  'resources/read': { kind: 'request', eras: both, target: { kind: 'resource', member: 'uri' }, members: ['uri', ...retry], limited: true, asks: true },
  'resources/subscribe': { kind: 'request', eras: legacy, target: { kind: 'resource', member: 'uri' }, members: ['uri'], small: true },
  'resources/unsubscribe': { kind: 'request', eras: legacy, target: { kind: 'resource', member: 'uri' }, members: ['uri'], small: true },
  'completion/complete': { kind: 'request', eras: both, members: ['ref', 'argument', 'context'], small: true },
  'tasks/get': { kind: 'request', eras: both, task: true, members: ['taskId'], small: true },
  'tasks/result': { kind: 'request', eras: legacy, task: true, members: ['taskId'], asks: true, small: true },
  'tasks/update': { kind: 'request', eras: modern, task: true, members: ['taskId', 'inputResponses'] },
  'tasks/cancel': { kind: 'request', eras: both, task: true, members: ['taskId'], small: true },
  'logging/setLevel': { kind: 'request', eras: legacy },
  'subscriptions/listen': { kind: 'request', eras: modern },
  'notifications/initialized': { kind: 'notification', eras: legacy, unrecorded: true },
  'notifications/cancelled': { kind: 'notification', eras: legacy },
  'notifications/progress': { kind: 'notification', eras: legacy, unrecorded: true },
  'notifications/roots/list_changed': { kind: 'notification', eras: legacy, unrecorded: true },
} satisfies Record<string, MethodSpec>)

/** The lists an upstream offers: method → where the items are and how policy names one. */
export const lists = {
  'tools/list': { member: 'tools', kind: 'tool', name: 'name', capability: 'tools' },
  'prompts/list': { member: 'prompts', kind: 'prompt', name: 'name', capability: 'prompts' },
  'resources/list': { member: 'resources', kind: 'resource', name: 'uri', capability: 'resources' },
  'resources/templates/list': { member: 'resourceTemplates', kind: 'resource', name: 'uriTemplate', capability: 'resources' },
} as const

export type ListMethod = keyof typeof lists

export function isListMethod (method: string): method is ListMethod {
  return Object.hasOwn(lists, method)
}
