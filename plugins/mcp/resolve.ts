import type { Call, Target } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { isUri } from '../../src/policy/uri-forms.ts'
import { isObject } from '../../src/protocol/message.ts'
import type { Gate, Step } from './gate.ts'
import { targetOfTask } from './tasks.ts'

const maxName = 2048

/**
 * resolve: the name in the message → upstream and bare name, and what policy says of it. Nothing is refused here for
 * policy's sake: the next steps need the decision whichever way it went.
 */
export function resolve ({ config, policy, catalog, stateKey }: Pick<Gate, 'config' | 'policy' | 'catalog' | 'stateKey'>): Step {
  return (call) => {
    const { endpoint, principal } = call.arrival
    if (endpoint !== undefined && !(config.upstreams.has(endpoint) && policy.reaches(principal, endpoint))) {
      throw new Refusal('PORTCULLIS_NOT_FOUND', { message: `There is no upstream "${endpoint.slice(0, 64)}" here.`, rule: config.upstreams.has(endpoint) ? 'default' : 'unknown' })
    }
    const named = nameOf(call)
    if (named === undefined) return
    if (named.kind === 'task') return judgeTask(call, targetOfTask({ stateKey }, call))
    const target = endpoint !== undefined ? { kind: named.kind, upstream: endpoint, name: named.name } : catalog.locate(call, named.kind, named.name)
    return target instanceof Promise ? target.then((found) => judge(call, found)) : judge(call, target)
  }

  /** What the arguments were is known no more: they were judged when the task was made. */
  function judgeTask (call: Call, target: Target | undefined): void {
    if (target === undefined || !config.upstreams.has(target.upstream)) return
    call.target = target
    call.decision = policy.decide(call.principal, target)
  }

  function judge (call: Call, target: Target | undefined): void {
    if (target === undefined || !config.upstreams.has(target.upstream)) return
    call.target = target
    call.decision = policy.decide(call.principal, target, argumentsOf(call, target))
  }
}

/** The arguments that a rule may look at: those that the upstream gets. A completion is about the prompt as filled in so far. */
function argumentsOf (call: Call, target: Target): unknown {
  if (call.spec?.members?.includes('arguments') === true) return call.params['arguments']
  if (call.method !== 'completion/complete' || target.kind !== 'prompt') return undefined
  const { argument, context } = call.params
  if (!isObject(argument) || typeof argument['name'] !== 'string' || typeof argument['value'] !== 'string') {
    throw new Refusal('PORTCULLIS_INVALID_PARAMS', { message: 'params.argument must be {"name":…,"value":…}, both of them strings.' })
  }
  const known = isObject(context) && isObject(context['arguments']) ? context['arguments'] : {}
  return { ...known, [argument['name']]: argument['value'] }
}

/** What the message names: the member its method says, the reference of a completion, or a task. */
export function nameOf (call: Call): { readonly kind: Target['kind'] | 'task', readonly name: string } | undefined {
  if (call.method === 'completion/complete') return referenceOf(call)
  if (call.spec?.task === true) return { kind: 'task', name: text(call.params['taskId'], 'params.taskId') }
  const target = call.spec?.target
  if (target === undefined) return undefined
  return { kind: target.kind, name: (target.kind === 'resource' ? uri : text)(call.params[target.member], `params.${target.member}`) }
}

function referenceOf (call: Call): Pick<Target, 'kind' | 'name'> {
  const ref = call.params['ref']
  if (isObject(ref) && ref['type'] === 'ref/prompt') return { kind: 'prompt', name: text(ref['name'], 'params.ref.name') }
  if (isObject(ref) && ref['type'] === 'ref/resource') return { kind: 'resource', name: uri(ref['uri'], 'params.ref.uri') }
  throw new Refusal('PORTCULLIS_INVALID_PARAMS', { message: 'params.ref must be {"type":"ref/prompt","name":…} or {"type":"ref/resource","uri":…}.' })
}

/** Parsers of URIs drop some of the characters that none may hold, so what they make of one that does is not what was judged. */
function uri (value: unknown, where: string): string {
  const given = text(value, where)
  if (isUri(given)) return given
  throw new Refusal('PORTCULLIS_INVALID_PARAMS', { message: `${where} must be a URI: control characters, and white space at its ends, are written percent-encoded, such as %20.` })
}

function text (value: unknown, where: string): string {
  if (typeof value === 'string' && value.length > 0 && value.length <= maxName) return value
  throw new Refusal('PORTCULLIS_INVALID_PARAMS', { message: `${where} must be a string of 1 to ${maxName} characters.` })
}
