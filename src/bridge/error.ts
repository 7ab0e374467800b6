import type { Answered, Call } from '../call.ts'
import type { Era } from '../protocol/era.ts'
import { isObject } from '../protocol/message.ts'

type Failure = Extract<Answered, { kind: 'error' }>

/** Codes that a revision does not have → what it says instead. */
export const urlRequired = -32042
const notFound = -32002

/**
 * An upstream's error in the words of the client's revision: 2026-07-28 has no code of its own for a resource that does
 * not exist (-32002), and only 2025-11-25 knows that a URL has to be visited first (-32042).
 */
export function errorFor (error: Failure, from: Era, call: Call): Failure {
  if (from === 'legacy' && call.era === 'modern' && error.code === notFound) {
    const data = isObject(error.data) ? error.data : {}
    return { ...error, code: -32602, data: { ...data, uri: data['uri'] ?? call.params['uri'] } }
  }
  if (error.code === urlRequired && call.version !== '2025-11-25') return { ...error, code: -32603, data: undefined }
  return error
}
