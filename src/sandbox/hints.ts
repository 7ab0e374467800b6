/** What bwrap prints when a host does not let it work → what the operator can do about it. First match wins. */
const hints: readonly (readonly [pattern: RegExp, hint: string])[] = [
  [/Unknown option/i, 'This bubblewrap is too old: version 0.8 or newer is needed (Debian 12, Ubuntu 24.04, Fedora 38, Alpine 3.18 have it).'],
  [/uid map: Permission denied|Failed RTM_NEWADDR/i, 'AppArmor keeps unprivileged programs from user namespaces (Ubuntu 23.10 and newer). Write /etc/apparmor.d/bwrap with the profile shown in docs/sandbox.md and run: apparmor_parser -r /etc/apparmor.d/bwrap'],
  [/Can't mount proc|\/proc\/sys\/user\/max_user_namespaces: (Read-only|Permission)/i, 'This container hides parts of /proc. Start it with --security-opt systempaths=unconfined, as docker-compose.yml does.'],
  [/(No permissions to create( a)? new namespace|Creating new namespace failed: (Operation not permitted|Permission denied)|setting up uid map: Operation not permitted)/i, 'This host or container does not let programs create namespaces. In Docker, start the container with --security-opt seccomp=docker/seccomp.json --security-opt systempaths=unconfined, as docker-compose.yml does; elsewhere: sysctl kernel.unprivileged_userns_clone=1'],
  [/Creating new namespace failed: (No space left on device|Resource temporarily unavailable|Invalid argument)/i, 'The kernel has no user namespaces left, or none at all: sysctl user.max_user_namespaces=28633, and build the kernel with CONFIG_USER_NS.'],
  [/landlock.*: (Function not implemented|Operation not supported)/i, 'The kernel has no Landlock, or it is switched off: Linux 5.13 or newer, with landlock among lsm= on its command line.'],
  [/(Cannot connect to the Docker daemon|failed to connect to the docker API|docker\.sock: connect: no such file)/i, 'Start the Docker engine (systemctl start docker), or use mode: bubblewrap, which needs none.'],
  [/permission denied[^\n]*docker/i, 'The gateway\'s user may not use the Docker engine. Whoever may, is root on this host: think twice before you let it (usermod -aG docker).'],
  [/(No such image|Unable to find image)/i, 'Nothing is downloaded when an upstream starts: run docker pull with the image once.'],
  [/Unexpected capabilities but not setuid/i, 'The gateway was started with ambient capabilities; start it without (no AmbientCapabilities= in its systemd unit).'],
  [/(Failed to make .* slave|Failed to mount tmpfs|setresuid|setpriv): .*(Operation not permitted|Permission denied)/i, 'The gateway runs as root without the rights to prepare a cell. Run it as an ordinary user, and keep programs and grants where that user can read them.'],
]

/** One or two sentences that say how to mend what `stderr` complains about; undefined when it is nothing known. */
export function hintFor (stderr: string): string | undefined {
  return hints.find(([pattern]) => pattern.test(stderr))?.[1]
}

/** How to install a package here, judged by the text of /etc/os-release. */
export function installHint (debian: string, osRelease: string): string {
  const ids = [...osRelease.matchAll(/^ID(?:_LIKE)?="?([^"\n]*)"?$/gm)].flatMap(([, value]) => (value ?? '').split(' '))
  const command = ids.map((id) => installers[id]).find((install) => install !== undefined)
  return `Install it: ${command ?? 'apt-get install -y'} ${debian}`
}

const installers: Readonly<Record<string, string>> = {
  debian: 'apt-get install -y',
  ubuntu: 'apt-get install -y',
  fedora: 'dnf install -y',
  rhel: 'dnf install -y',
  centos: 'dnf install -y',
  alpine: 'apk add',
  arch: 'pacman -S',
  suse: 'zypper install -y',
  opensuse: 'zypper install -y',
}
