import type { SandboxSpec } from '../config/config.ts'
import type { Mount } from './mounts.ts'
import { SandboxError } from './sandbox-error.ts'

/** Everything the docker command line of one cell depends on. */
export interface Container {
  readonly name: string
  readonly image: string
  readonly command: readonly string[]
  readonly cwd: string | undefined
  /** A file of NAME=value lines: arguments can be seen by everybody on the host. */
  readonly environment: string
  readonly mounts: readonly Mount[]
  readonly user: { readonly uid: number, readonly gid: number }
  readonly sandbox: Pick<SandboxSpec, 'memory' | 'processes' | 'fileSize' | 'openFiles' | 'tmp' | 'nice'>
}

/** The arguments of docker for one cell. The image is never downloaded: what runs is what the operator put there. */
export function dockerOptions ({ name, image, command, cwd, environment, mounts, user, sandbox }: Container): string[] {
  const scratch = `rw,noexec,nosuid,nodev,size=${sandbox.tmp}`
  return [
    'run', '--interactive', '--rm', '--init', '--pull', 'never', '--name', name, '--label', 'portcullis',
    '--network', 'none', '--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges', '--ipc', 'none', '--log-driver', 'none',
    '--user', `${user.uid}:${user.gid}`,
    '--tmpfs', `/tmp:${scratch},mode=1777`, '--tmpfs', `${home}:${scratch},uid=${user.uid},gid=${user.gid},mode=0700`,
    '--memory', `${sandbox.memory}`, '--memory-swap', `${sandbox.memory}`, '--pids-limit', `${sandbox.processes}`,
    '--ulimit', `fsize=${sandbox.fileSize}`, '--ulimit', `nofile=${sandbox.openFiles}`, '--ulimit', 'core=0',
    ...sandbox.nice === 0 ? [] : ['--cpu-shares', `${Math.round(1024 / 1.25 ** sandbox.nice)}`], // what the kernel weighs such a nice value with
    ...mounts.flatMap(mountOption),
    '--env', `HOME=${home}`, '--env', 'TMPDIR=/tmp', '--env-file', environment,
    '--workdir', cwd ?? home,
    image, ...command,
  ]
}

/**
 * The text of the file that `environment` names.
 * @throws SandboxError for a value that such a file cannot hold
 */
export function environmentFile (env: Readonly<Record<string, string>>): string {
  return Object.entries(env).map(([name, value]) => {
    if (/[\r\n]/.test(value)) throw new SandboxError(`The value of the environment variable ${name} has several lines, which docker cannot hand over.`, 'Put it into a file and grant that.')
    return `${name}=${value}\n`
  }).join('')
}

const home = '/home/mcp'

/** docker reads the value as a line of CSV. */
function mountOption ({ source, target, write }: Mount): string[] {
  if (/[",\n]/.test(source + target)) throw new SandboxError(`${source} cannot be mounted by docker: its name, or that of its target, has a comma, a quote or a line break.`, 'Rename it.')
  return ['--mount', `type=bind,source=${source},target=${target}${write ? '' : ',readonly'}`]
}
