import neostandard, { plugins } from 'neostandard'

const typed = plugins['typescript-eslint']

export default [
  { ignores: ['dist/**', 'node_modules/**', '.portcullis/**', '.tap/**', 'coverage/**'] },
  ...neostandard({ ts: true }),
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { projectService: true } },
    plugins: { '@typescript-eslint': typed.plugin },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      // Fastify has no logger (src/app.ts), so these would say nothing.
      'no-restricted-syntax': ['error', { selector: "MemberExpression[object.name=/^(request|reply)$/][property.name='log']", message: 'Nobody hears request.log: use app.log, or request.server.log.' }],
    },
  },
  { files: ['test/**'], rules: { '@typescript-eslint/no-floating-promises': 'off' } }, // tap awaits its own
  { rules: { 'no-console': 'error', 'no-void': ['error', { allowAsStatement: true }] } },
  { files: ['scripts/**', 'bench/**'], rules: { 'no-console': 'off' } },
]
