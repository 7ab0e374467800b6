import { Refusal } from '../../src/errors.ts'
import { isLegacyVersion } from '../../src/protocol/era.ts'
import type { Gate, Step } from './gate.ts'

/**
 * session: a legacy message belongs to a session of this principal. Somebody else's session and one that never
 * existed are the same 404. A missing version header means the session's version (several clients never send it).
 */
export function session ({ sessions }: Pick<Gate, 'sessions'>): Step {
  return (call) => {
    if (call.era === 'modern') {
      if (call.id !== undefined) call.reply.keep(undefined)
      return
    }
    const { headers, principal } = call.arrival
    const version = headers['mcp-protocol-version']
    if (version !== undefined && !isLegacyVersion(version)) {
      throw new Refusal('PORTCULLIS_UNSUPPORTED_VERSION', { message: `Protocol version ${JSON.stringify(version).slice(0, 40)} is not supported.` })
    }
    const id = headers['mcp-session-id']
    if (typeof id !== 'string') {
      if (call.spec?.sessionless === true) return
      throw new Refusal('PORTCULLIS_SESSION_REQUIRED')
    }
    if (call.method === 'initialize') throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: 'This session is initialized already: leave the Mcp-Session-Id header out to begin a new one.' })
    const found = sessions.find(id, principal)
    if (found === undefined) throw new Refusal('PORTCULLIS_SESSION_NOT_FOUND')
    found.lastSeen = Date.now()
    call.session = found
    call.version = found.version
    if (call.id === undefined) return
    found.calls.push(call)
    call.reply.keep(found)
  }
}
