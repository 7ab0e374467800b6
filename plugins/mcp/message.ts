import type { Call } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { isModernVersion } from '../../src/protocol/era.ts'
import { readMessage } from '../../src/protocol/message.ts'
import { methods } from '../../src/protocol/methods.ts'
import { hasEnvelope, readEnvelope } from '../../src/protocol/modern.ts'
import type { Step } from './gate.ts'

/**
 * message: what kind of message this is, in which era it is spoken, and whether that era has such a method.
 * The body decides the era; the version header is only compared with it. A notification nobody knows is taken and
 * goes nowhere, as JSON-RPC has it.
 */
export function message (): Step {
  return (call) => {
    call.message = readMessage(call.value)
    const header = call.arrival.headers['mcp-protocol-version']
    if (call.message.kind !== 'response' && hasEnvelope(call.params)) readModern(call)
    else if (isModernVersion(header)) throw modernWithoutEnvelope(call, header)
    if (call.message.kind === 'response') return
    const spec = methods[call.method]
    if (spec?.kind === call.message.kind && spec.eras.includes(call.era)) call.spec = spec
    else if (call.message.kind === 'request') throw unknownMethod(call)
  }
}

function readModern (call: Call): void {
  call.era = 'modern'
  if (call.message.kind === 'request') call.envelope = readEnvelope(call.method, call.params, call.arrival.headers)
  call.version = call.envelope?.version ?? ''
}

/** A client of the 2026-07-28 era may not initialize, and may not answer anything by POST. */
function modernWithoutEnvelope (call: Call, header: string): Refusal {
  call.era = 'modern'
  call.version = header
  if (call.method === 'initialize') return new Refusal('PORTCULLIS_HEADER_MISMATCH', { message: `Header MCP-Protocol-Version says ${header}, which has no initialize.` })
  if (call.message.kind === 'response') return new Refusal('PORTCULLIS_INVALID_REQUEST', { message: `A response cannot be posted in ${header}.` })
  return new Refusal('PORTCULLIS_INVALID_ENVELOPE', { message: `A request of ${header} carries its protocol version and client capabilities in params._meta.` })
}

function unknownMethod (call: Call): Refusal {
  return new Refusal('PORTCULLIS_UNKNOWN_METHOD', { message: `Method not found: ${call.method.slice(0, 64)}` })
}
