import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'

import { Refusal } from '../../src/errors.ts'
import type { RefusalCode } from '../../src/errors.ts'
import { challenge } from '../../src/identity/challenge.ts'
import { sentenceOf } from './sentence.ts'

/** Our code → the `error` that OAuth clients know (RFC 6749 section 5.2, RFC 6750); what isn't here is invalid_request. */
const NAMES: Partial<Record<RefusalCode, string>> = {
  PORTCULLIS_UNAUTHENTICATED: 'unauthorized',
  PORTCULLIS_INVALID_TOKEN: 'invalid_token',
  PORTCULLIS_BAD_CREDENTIALS: 'invalid_grant',
  PORTCULLIS_INSUFFICIENT_SCOPE: 'insufficient_scope',
  PORTCULLIS_FORBIDDEN: 'access_denied',
  PORTCULLIS_NOT_FOUND: 'not_found',
  PORTCULLIS_TOO_MANY_REQUESTS: 'slow_down',
  PORTCULLIS_OVERLOADED: 'temporarily_unavailable',
  PORTCULLIS_LEDGER_UNAVAILABLE: 'temporarily_unavailable',
  PORTCULLIS_ISSUER_UNAVAILABLE: 'temporarily_unavailable',
  PORTCULLIS_SHUTTING_DOWN: 'temporarily_unavailable',
  PORTCULLIS_INTERNAL: 'server_error',
}

/** What Fastify itself refuses, in our words. */
const FASTIFY: Readonly<Record<string, RefusalCode>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'PORTCULLIS_UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_BODY_TOO_LARGE: 'PORTCULLIS_BODY_TOO_LARGE',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'PORTCULLIS_PARSE_ERROR',
  FST_ERR_CTP_INVALID_JSON_BODY: 'PORTCULLIS_PARSE_ERROR',
  FST_UNDER_PRESSURE: 'PORTCULLIS_OVERLOADED',
}

/** Answers every error of the scope as `{error, error_description, code, record?}`. No message holds anything that was sent. */
export function sendError (publicUrl: string): (error: FastifyError | Refusal, request: FastifyRequest, reply: FastifyReply) => FastifyReply {
  return (error, request, reply) => {
    const refusal = asRefusal(error)
    const { record } = refusal.data
    if (isFault(refusal)) request.server.log.error({ err: refusal.cause ?? refusal, record }, 'an /auth request failed')
    const hint = challenge(refusal, publicUrl, '/mcp')
    const headers = hint === undefined ? refusal.headers : { ...refusal.headers, 'www-authenticate': hint }
    return reply.code(refusal.status).headers(headers).type('application/json').send({
      error: NAMES[refusal.code] ?? 'invalid_request',
      error_description: refusal.message,
      code: refusal.code,
      ...(typeof record === 'string' && { record }),
    })
  }
}

/** Answers what cannot be routed at all, a path that does not decode or is too long, as any address with nothing there. */
export function sendUnroutable (publicUrl: string): (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => void {
  const send = sendError(publicUrl)
  return (cause, request, reply) => {
    send(new Refusal('PORTCULLIS_NOT_FOUND', { message: 'There is nothing at this address: a part of it cannot be decoded, or is too long.', headers: { 'cache-control': 'no-store' }, cause }), request, reply)
  }
}

/**
 * Something broke, which the log must tell. A 503 without a cause is the gateway holding people off as it should: a line
 * with a stack for each costs more than the answer, in the very moment when there are too many of them.
 */
export function isFault (refusal: Refusal): boolean {
  return refusal.status >= 500 && (refusal.code === 'PORTCULLIS_INTERNAL' || refusal.cause !== undefined)
}

function asRefusal (error: FastifyError | Refusal): Refusal {
  if (error instanceof Refusal) return error
  if (error.validation !== undefined) return new Refusal('PORTCULLIS_INVALID_REQUEST', { message: sentenceOf(error.validation[0], error.validationContext) })
  const isClientFault = error.statusCode !== undefined && error.statusCode < 500
  return new Refusal(FASTIFY[error.code] ?? (isClientFault ? 'PORTCULLIS_INVALID_REQUEST' : 'PORTCULLIS_INTERNAL'), {
    ...(isClientFault && FASTIFY[error.code] === undefined && { message: 'The request cannot be read: send a JSON object with content-type application/json.' }),
    cause: error,
  })
}
