import type { Call, Target } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { checkParamHeaders } from '../../src/protocol/modern.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import type { Item } from '../../src/upstreams/introduction.ts'
import { unknownTarget } from './authorize.ts'
import { asideOf, contentOf } from './content.ts'
import type { Gate, Step } from './gate.ts'
import { ownerOf } from './owner.ts'

/** validate: the tool exists, its arguments fit its own schema and the size limit, and no deny pattern matches them. */
export function validate ({ config, supervisor, guards, catalog }: Pick<Gate, 'config' | 'supervisor' | 'guards' | 'catalog'>): Step {
  return (call) => {
    const { target, arrival: { bytesIn, endpoint } } = call
    const { maxArguments } = config.guards
    const max = call.spec?.small === true ? Math.min(maxSmall, maxArguments) : maxArguments
    if (target === undefined) {
      if (call.spec?.small !== true) return
      if (bytesIn > max) throw tooLarge(bytesIn, max)
      checkCursor(call.params['cursor'])
      return endpoint === undefined ? undefined : checkPatterns(call, { upstream: endpoint, name: call.method })
    }
    if (bytesIn > max) throw tooLarge(bytesIn, max)
    const instance = call.instance ?? supervisor.instance(target.upstream, ownerOf(call), call.era)
    return instance instanceof Promise ? instance.then((started) => checkAt(started, call, target)) : checkAt(instance, call, target)
  }

  /** Without a promise where the tool is known, which is the common case. */
  function checkAt (instance: Instance, call: Call, target: Target): void | Promise<void> {
    call.instance = instance
    if (call.method !== 'tools/call') return checkPatterns(call, target)
    const tool = instance.tools.get(target.name)
    return tool === undefined ? instance.tool(target.name).then((found) => checkTool(instance, call, target, found)) : checkTool(instance, call, target, tool)
  }

  function checkTool (instance: Instance, call: Call, target: Target, tool: Item | undefined): void {
    if (tool === undefined) throw unknownTarget('tool', String(call.params['name']), 'not listed')
    if (call.arrival.endpoint === undefined && catalog.isLookAlike(instance, target.name)) throw unknownTarget('tool', String(call.params['name']), 'look-alike')
    if (call.era === 'modern') checkParamHeaders(tool['inputSchema'], call.params['arguments'], call.arrival.headers)
    const problem = guards.checkArguments(tool['inputSchema'], call.params['arguments'])
    if (problem !== null) throw new Refusal('PORTCULLIS_INVALID_ARGUMENTS', { message: problem, rule: 'inputSchema' })
    checkPatterns(call, target)
  }

  function checkPatterns (call: Call, target: Pick<Target, 'upstream' | 'name'>): void {
    const hit = guards.checkPatterns(contentOf(call), target) ?? guards.checkPatterns(asideOf(call), target)
    if (hit === null) return
    throw new Refusal('PORTCULLIS_BLOCKED', { message: `The arguments were blocked by the safety rule "${hit.name}". Do not send such input; ask the operator if it is needed.`, rule: hit.name, data: { guard: hit.name } })
  }
}

/** Bytes of a message that is not counted. */
const maxSmall = 64 * 1024
const maxCursor = 4096

/** Only the upstream can read its cursors; no more is known of one than that it is short and one line. */
function checkCursor (cursor: unknown): void {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (cursor === undefined || (typeof cursor === 'string' && cursor.length <= maxCursor && !/[\x00-\x1f\x7f]/.test(cursor))) return
  throw new Refusal('PORTCULLIS_INVALID_PARAMS', { message: `params.cursor must be a string of at most ${maxCursor} characters on one line.` })
}

function tooLarge (size: number, max: number): Refusal {
  return new Refusal('PORTCULLIS_ARGUMENTS_TOO_LARGE', { message: `The message has ${size} bytes; at most ${max} are accepted. Send less at once.`, data: { size, max } })
}
