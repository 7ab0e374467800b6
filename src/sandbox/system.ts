import { lstatSync, readlinkSync } from 'node:fs'
import { SandboxError } from './sandbox-error.ts'
import { isKnownMachine } from './seccomp.ts'
import type { Machine } from './syscalls.ts'

/** A part of the system: shown as it is, or as the link that it is. */
export type SystemPart = { readonly path: string, readonly link: string } | { readonly path: string }

/** /usr, and the places that are links into it on most systems and directories of their own on some. */
export function systemParts (): readonly SystemPart[] {
  parts ??= ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'].flatMap((path) => {
    const stats = lstatSync(path, { throwIfNoEntry: false })
    if (stats === undefined) return []
    return [stats.isSymbolicLink() ? { path, link: readlinkSync(path) } : { path }]
  })
  return parts
}

/** Parts of /etc that programs need and that say nothing about this host's people or secrets. */
export const harmlessEtc: readonly string[] = [
  'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d', 'ssl/certs', 'ssl/openssl.cnf', 'ca-certificates', 'pki/tls/certs',
  'pki/ca-trust/extracted', 'localtime', 'alternatives', 'mime.types',
].map((name) => `/etc/${name}`)

/**
 * The machine this runs on, as the system call filter knows it.
 * @throws SandboxError when there is no filter for it
 */
export function filteredMachine (): Machine {
  if (!isKnownMachine(process.arch)) throw new SandboxError(`There is no system call filter for this machine (${process.arch}).`, 'Run the gateway on x64 or arm64.')
  return process.arch
}

/** @throws SandboxError on any other system than `platform` */
export function requirePlatform (platform: NodeJS.Platform, hint: string): void {
  if (process.platform === platform) return
  const name = { linux: 'Linux', darwin: 'macOS' }[platform as string] ?? platform
  throw new SandboxError(`This sandbox is for ${name}, and this is ${process.platform}.`, hint)
}

let parts: readonly SystemPart[] | undefined
