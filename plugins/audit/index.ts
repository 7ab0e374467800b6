import type { FastifyInstance } from 'fastify'

import type { Database } from '../../db/connect.ts'
import { Refusal } from '../../src/errors.ts'
import type { Identity } from '../../src/identity/identity.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import type { PayloadKeys } from '../../src/ledger/payload-keys.ts'
import { readPayloads } from '../../src/ledger/payloads.ts'
import { search, show } from '../../src/ledger/query.ts'
import { placeOf, readRequest } from '../../src/ledger/request.ts'
import { sees, shown, sightOf, within } from '../../src/ledger/sight.ts'

export interface AuditOptions {
  readonly identity: Pick<Identity, 'authenticate'>
  readonly database: Pick<Database, 'db'>
  readonly ledger: Ledger
  readonly keys: PayloadKeys
}

/** A search may cost the database seconds: so many a minute for each address. */
const config = {
  rateLimit: {
    max: 120,
    timeWindow: 60_000,
    errorResponseBuilder: (_request: unknown, { ttl }: { ttl: number }) => new Refusal('PORTCULLIS_TOO_MANY_REQUESTS', { data: { retryAfterMs: ttl } }),
  },
}

/** The /audit scope: the ledger over HTTP, for the owners of calls, administrators and auditors. Reads only. */
export async function audit (app: FastifyInstance, { identity, database, ledger, keys }: AuditOptions): Promise<void> {
  app.addHook('onRequest', (_request, reply, next) => {
    reply.raw.setHeader('cache-control', 'no-store')
    next()
  })

  app.get<{ Querystring: Record<string, unknown> }>('/audit/attempts', { config }, async (request) => {
    const sight = sightOf(await identity.authenticate(request.headers.authorization))
    const { filter, limit } = readRequest(request.query, Date.now())
    const attempts = await search(database, within(sight, filter), limit)
    const last = attempts.length === limit ? attempts.at(-1) : undefined
    return { attempts: attempts.map(attempt => shown(sight, attempt)), ...(last !== undefined && { next: placeOf(last) }) }
  })

  app.get<{ Params: { record: string } }>('/audit/attempts/:record', { config }, async (request) => {
    const sight = sightOf(await identity.authenticate(request.headers.authorization))
    const found = await show(database, request.params.record)
    // What may not be seen and what does not exist look the same.
    if (found === undefined || !sees(sight, found.attempt)) throw noRecord()
    return { attempt: shown(sight, found.attempt), ...(sight.contents && { events: found.events }) }
  })

  app.get<{ Params: { record: string } }>('/audit/attempts/:record/payload', { config }, async (request) => {
    const principal = await identity.authenticate(request.headers.authorization)
    if (!sightOf(principal).contents) throw new Refusal('PORTCULLIS_FORBIDDEN', { message: 'Only an auditor may read what was in a call.' })
    const payloads = await readPayloads({ database, ledger, keys }, request.params.record, { principal: { id: principal.id, name: principal.name }, source: request.ip })
    if (payloads.length === 0) throw noRecord()
    return { record: request.params.record, payloads }
  })

  app.all('/audit/*', () => { throw new Refusal('PORTCULLIS_NOT_FOUND', { message: 'There is nothing at this address. There are GET /audit/attempts, /audit/attempts/<record> and /audit/attempts/<record>/payload.' }) })
}

function noRecord (): Refusal {
  return new Refusal('PORTCULLIS_NOT_FOUND', { message: 'There is no such record. One that was written a moment ago may still be on its way to the database.' })
}
