import type { FastifyInstance } from 'fastify'

/** What one part says about itself. `reason` is public: one sentence without names of hosts, users or secrets. */
export type Health = ({ readonly ok: true } | { readonly ok: false, readonly reason: string }) & { readonly counts?: Readonly<Record<string, number>> }

export interface HealthOptions {
  /** What must be well for a call to be served: name → look, for example `database`, `ledger`, `sandbox`, `shutdown`. */
  readonly checks: Readonly<Record<string, () => Health | Promise<Health>>>
  /** Milliseconds after which a look counts as failed; 2 s. */
  readonly timeout?: number
  /** Milliseconds an answer is reused, since anybody may ask; 500. */
  readonly reuse?: number
}

/** `GET /livez`: the process turns. `GET /readyz`: calls can be served; names each check and why it fails. Neither needs a token. */
export async function health (app: FastifyInstance, { checks, timeout = 2000, reuse = 500 }: HealthOptions): Promise<void> {
  let wasReady: boolean | undefined
  const look = reused(reuse, async () => {
    const entries = Object.entries(checks).map(async ([name, check]) => [name, await bounded(app, name, check, timeout)] as const)
    const checked = Object.fromEntries(await Promise.all(entries))
    const ready = Object.values(checked).every(({ ok }) => ok)
    if (!ready && wasReady !== false) app.log.warn({ checks: checked }, 'not ready')
    if (ready && wasReady === false) app.log.info('ready again')
    wasReady = ready
    return { ready, checked }
  })
  app.get('/livez', { logLevel: 'warn' }, async (_request, reply) => {
    return reply.header('cache-control', 'no-store').send({ status: 'ok' })
  })
  app.get('/readyz', { logLevel: 'warn' }, async (_request, reply) => {
    const { ready, checked } = await look()
    return reply.code(ready ? 200 : 503).header('cache-control', 'no-store').send({ status: ready ? 'ok' : 'unavailable', checks: checked })
  })
}

/** A look that throws or hangs is a failed one; what it threw goes to the log only, because it may name what nobody should know. */
async function bounded (app: FastifyInstance, name: string, check: () => Health | Promise<Health>, timeout: number): Promise<Health> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<Health>(resolve => {
    timer = setTimeout(resolve, timeout, { ok: false, reason: `No answer within ${timeout} ms.` })
  })
  try {
    return await Promise.race([check(), late])
  } catch (err) {
    app.log.warn({ err, check: name }, 'a readiness check failed by itself')
    return { ok: false, reason: 'The check itself failed; the log of the gateway says more.' }
  } finally {
    clearTimeout(timer)
  }
}

/** One look at a time, and its answer for `ms` afterwards: a thousand probes cost as much as one. */
function reused<Answer> (ms: number, ask: () => Promise<Answer>): () => Promise<Answer> {
  let answer: Promise<Answer> | undefined
  return () => {
    answer ??= ask().finally(() => setTimeout(() => { answer = undefined }, ms).unref())
    return answer
  }
}
