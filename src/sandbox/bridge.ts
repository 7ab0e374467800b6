import { SandboxError } from './sandbox-error.ts'
import type { Lookup } from './tools.ts'

/** Where a cell finds the socket of its proxy. */
export const innerSocket = '/run/egress.sock'

/** Processes that the bridge may need beside the upstream's own: one for each connection, and one that waits. */
export const bridgeProcesses = 65

const port = 3128
const proxy = `http://127.0.0.1:${port}`

/** What tells programs to use the proxy. Node 24 looks at NODE_USE_ENV_PROXY. */
export const bridgeEnvironment: Readonly<Record<string, string>> = {
  HTTP_PROXY: proxy, HTTPS_PROXY: proxy, ALL_PROXY: proxy, http_proxy: proxy, https_proxy: proxy, all_proxy: proxy, NO_PROXY: '', no_proxy: '', NODE_USE_ENV_PROXY: '1',
}

/**
 * The command with a bridge in front: socat passes what is sent to the proxy's port of the cell's own loopback on to the
 * socket, and the command begins when it listens. socat is no child of the command, which may wait for its own.
 */
export function bridged (argv: readonly string[], lookup: Lookup): string[] {
  const socat = lookup('socat')
  if (socat === undefined || !socat.startsWith('/usr/')) throw new SandboxError('socat is not installed, and an upstream with sandbox.network needs it to reach the gateway\'s proxy.', 'Install it: apt-get install -y socat')
  return ['/usr/bin/env', 'sh', '-c', script, socat, ...argv]
}

/** 0C38 is the port in hexadecimal, 0A the state LISTEN. */
const script = `
("$0" TCP4-LISTEN:${port},bind=127.0.0.1,fork,reuseaddr,max-children=64 UNIX-CONNECT:${innerSocket} </dev/null >/dev/null 2>&1 &)
tries=0
until grep -q ':0C38 00000000:0000 0A' /proc/net/tcp; do
  tries=$((tries + 1))
  if [ $tries -gt 500 ]; then echo 'the way to the proxy did not come up' >&2; exit 1; fi
  sleep 0.01
done
exec "$@"`
