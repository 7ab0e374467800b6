import type { Redis } from 'ioredis'

import type { Log } from '../log.ts'

/**
 * A connection for counters. While Redis is away every command fails at once instead of waiting for it: a call that cannot
 * be counted is refused, not delayed. Reconnects by itself.
 */
export async function openRedis (url: string, log: Pick<Log, 'error' | 'info'>): Promise<Redis> {
  const { Redis: Connection } = await import('ioredis') // most gateways count for themselves, and start without it
  const redis = new Connection(url, { lazyConnect: true, enableOfflineQueue: false, maxRetriesPerRequest: 0, connectTimeout: 2000, commandTimeout: 1000 })
  let away = false
  redis.on('error', (error: Error) => {
    if (!away) log.error({ err: error }, 'Redis is not available: calls that are limited are refused until it is back')
    away = true
  })
  redis.on('ready', () => {
    if (away) log.info('Redis is back')
    away = false
  })
  await redis.connect().catch(() => {})
  return redis
}
