import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { Refusal } from '../../src/errors.ts'
import type { RefusalCode } from '../../src/errors.ts'
import { challenge } from '../../src/identity/challenge.ts'
import type { Gate } from './gate.ts'
import { requestRefusal } from './refusal.ts'

/** What Fastify itself refuses, in our words. */
const known: Readonly<Record<string, RefusalCode>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'PORTCULLIS_UNSUPPORTED_MEDIA_TYPE',
  FST_UNDER_PRESSURE: 'PORTCULLIS_OVERLOADED',
}

/** Everything that ends a request before there is a message: recorded, then answered as JSON-RPC with the right status. */
export function onError (gate: Gate): (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => void {
  return (error, request, reply) => {
    const refusal = asRefusal(error)
    const record = gate.ledger.newRecord()
    if (refusal.code === 'PORTCULLIS_INTERNAL') gate.log.error({ record, err: error }, 'internal error')
    gate.metrics.refusal(refusal.code)
    const { status, body, headers } = requestRefusal(refusal, undefined, record, gate.config.server.publicUrl)
    const send = (): void => {
      const hint = challenge(refusal, gate.config.server.publicUrl, pathOf(request))
      if (hint !== undefined) void reply.header('www-authenticate', hint)
      if (refusal.code === 'PORTCULLIS_BODY_TOO_LARGE') void reply.header('connection', 'close')
      void reply.code(status).headers(headers).header('cache-control', 'no-store').type('application/json').send(body)
    }
    try {
      gate.ledger.append(entryOf(gate, request, refusal, record))
      gate.ledger.written(send)
    } catch (cause) {
      gate.log.error({ record, code: refusal.code, err: cause }, 'a refusal could not be recorded')
      send()
    }
  }
}

function asRefusal (error: FastifyError): Refusal {
  if (error instanceof Refusal) return error
  return new Refusal(known[error.code] ?? (isClientFault(error) ? 'PORTCULLIS_INVALID_REQUEST' : 'PORTCULLIS_INTERNAL'), { cause: error })
}

/** ECONNRESET: the client went away in the middle of its body. */
function isClientFault ({ statusCode, code }: FastifyError): boolean {
  return code === 'ECONNRESET' || (statusCode !== undefined && statusCode < 500)
}

function entryOf (gate: Gate, request: FastifyRequest, refusal: Refusal, record: string): Parameters<Gate['ledger']['append']>[0] {
  const principal = (request.principal as typeof request.principal | null) ?? undefined
  const { upstream } = (request.params ?? {}) as { upstream?: string }
  return {
    kind: 'refusal',
    record,
    principal: principal === undefined ? undefined : { id: principal.id, name: principal.name },
    token: principal?.tokenId,
    source: request.ip,
    method: request.method,
    upstream: upstream?.slice(0, 64),
    decision: 'deny',
    rule: refusal.rule,
    outcome: 'refused',
    code: refusal.code,
    policy: gate.config.version,
  }
}

function pathOf (request: FastifyRequest): string {
  return request.url.split('?')[0] ?? '/mcp'
}
