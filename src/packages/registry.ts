import { existsSync } from 'node:fs'
import type { NetworkSpec, PackagesSpec } from '../config/config.ts'
import { hostName } from '../config/destinations.ts'
import { SandboxError } from '../sandbox/sandbox-error.ts'
import type { Pin, Plan } from './pin.ts'
import type { Wanted } from './wanted.ts'
import type { Workshop } from './workshop.ts'

/** A kind of registry, driven by its own tool. */
export interface Registry {
  /** Chooses versions. Nothing is unpacked. */
  resolve (wanted: Wanted, workshop: Workshop): Promise<Plan>
  /** Installs exactly what is pinned. @throws SandboxError when the registry delivers anything else */
  install (pin: Pin, workshop: Workshop): Promise<void>
  /** How what was installed into `folder` is run. @throws SandboxError when it has no such program */
  command (wanted: Wanted, folder: string): { readonly command: readonly string[], readonly env: Readonly<Record<string, string>> }
}

/** The registry itself, and where else its archives are. */
export function networkOf (address: string, more: readonly string[], { hosts, private: granted }: PackagesSpec): NetworkSpec {
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) throw new SandboxError(`"${address}" is not the address of a package registry.`, 'Name one under packages: in upstreams.yaml.')
  const port = url.port === '' ? { 'http:': 80, 'https:': 443 }[url.protocol] ?? 443 : Number(url.port)
  return { allow: [{ host: hostName(url.hostname), port }, ...more.map((host) => ({ host, port: 443 })), ...hosts], private: granted }
}

/** Certificates that this machine trusts, beside those that a tool brings, under the name by which the tool is told. */
export function trust (variable: string): Record<string, string> {
  const bundle = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt'].find((path) => existsSync(path))
  return bundle === undefined ? {} : { [variable]: bundle }
}
