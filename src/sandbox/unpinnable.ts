import { SandboxError } from './sandbox-error.ts'

/** A command that downloads a program of which nothing can say beforehand what it will be. */
export class Unpinnable extends SandboxError {
  /** Addresses that it names, beside its registry. */
  readonly from: readonly string[]

  constructor (reason: string, hint: string, from: readonly string[] = []) {
    super(reason, hint)
    this.name = 'Unpinnable'
    this.from = from
  }
}

const forges: Readonly<Record<string, string>> = { github: 'https://github.com/', gitlab: 'https://gitlab.com/', bitbucket: 'https://bitbucket.org/', gist: 'https://gist.github.com/' }

/** The addresses in how a package is named: an archive's, a repository's, or those of a forge by its short name. */
export function addressesIn (spec: string): string[] {
  const address = /(?:git\+)?((?:https?|ssh|git):\/\/\S+)/.exec(spec)?.[1]
  if (address !== undefined) return [address]
  const forge = /(?:^|@)(github|gitlab|bitbucket|gist):/.exec(spec)?.[1] ?? (/^[\w.-]+\/[\w.-]+(#.*)?$/.test(spec) ? 'github' : undefined)
  return forge === undefined ? [] : [forges[forge] ?? '']
}
