import type { Call, Target } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { checkParamHeaders } from '../../src/protocol/modern.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import type { Item } from '../../src/upstreams/introduction.ts'
import { unknownTarget } from './authorize.ts'
import { contentOf } from './content.ts'
import type { Gate, Step } from './gate.ts'
import { ownerOf } from './owner.ts'

/** validate: the tool exists, its arguments fit its own schema and the size limit, and no deny pattern matches them. */
export function validate ({ config, supervisor, guards, catalog }: Pick<Gate, 'config' | 'supervisor' | 'guards' | 'catalog'>): Step {
  return (call) => {
    const { target } = call
    if (target === undefined) return
    if (call.arrival.bytesIn > config.guards.maxArguments) throw tooLarge(call.arrival.bytesIn, config.guards.maxArguments)
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

  function checkPatterns (call: Call, target: Target): void {
    const hit = guards.checkPatterns(contentOf(call), target)
    if (hit === null) return
    throw new Refusal('PORTCULLIS_BLOCKED', { message: `The arguments were blocked by the safety rule "${hit.name}". Do not send such input; ask the operator if it is needed.`, rule: hit.name, data: { guard: hit.name } })
  }
}

function tooLarge (size: number, max: number): Refusal {
  return new Refusal('PORTCULLIS_ARGUMENTS_TOO_LARGE', { message: `The message has ${size} bytes; at most ${max} are accepted. Send less at once.`, data: { size, max } })
}
