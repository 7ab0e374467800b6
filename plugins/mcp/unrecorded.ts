import type { Call } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { compilePattern, matchesTarget } from '../../src/policy/pattern.ts'
import { isObject } from '../../src/protocol/message.ts'
import type { Gate, Step } from './gate.ts'

/**
 * `record` with the exemption of audit.on_failure: a call that the ledger cannot take goes on if the operator names its tool and
 * the upstream says that it only reads. It is counted first, where the count outlives this process: what cannot even be counted is refused.
 */
export function exempting (gate: Pick<Gate, 'config' | 'ledger' | 'metrics'>, record: Step): Step {
  const patterns = gate.config.audit.onFailure.allow.map(compilePattern)
  return (call) => {
    try {
      return record(call)?.catch((error: unknown) => instead(call, error))
    } catch (error) {
      return instead(call, error)
    }
  }

  function instead (call: Call, error: unknown): Promise<void> {
    const { target } = call
    if (!(error instanceof Refusal) || error.code !== 'PORTCULLIS_LEDGER_UNAVAILABLE' || target === undefined) throw error
    if (!onlyReads(call) || !patterns.some((pattern) => matchesTarget(pattern, target.upstream, target.name))) throw error
    return new Promise((resolve, reject) => {
      gate.ledger.passUnrecorded({ principal: call.principal, upstream: target.upstream, tool: target.name }, (failure) => {
        if (failure !== undefined) return reject(new Refusal('PORTCULLIS_LEDGER_UNAVAILABLE', { cause: failure }))
        call.unrecorded = true
        gate.metrics.unrecorded(target.upstream)
        resolve()
      })
    })
  }
}

/** The name alone is not enough: a pattern may cover a tool that the server added later. */
function onlyReads ({ method, instance, target }: Call): boolean {
  if (method !== 'tools/call' || instance === undefined || target === undefined) return false
  const annotations = instance.tools.get(target.name)?.['annotations']
  return isObject(annotations) && annotations['readOnlyHint'] === true
}
