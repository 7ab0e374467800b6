/** Variables that make a program load or run something else than what the configuration names. */
const names: ReadonlySet<string> = new Set([
  // the loader and the C library
  'GCONV_PATH', 'GETCONF_DIR', 'GLIBC_TUNABLES', 'HOSTALIASES', 'LOCALDOMAIN', 'LOCPATH', 'MALLOC_TRACE', 'NIS_PATH', 'NLSPATH', 'RESOLV_HOST_CONF', 'RES_OPTIONS',
  'OPENSSL_CONF', 'OPENSSL_ENGINES', 'OPENSSL_MODULES',
  // shells
  'BASH_ENV', 'BASHOPTS', 'CDPATH', 'ENV', 'IFS', 'PATH', 'PROMPT_COMMAND', 'PS4', 'SHELL', 'SHELLOPTS', 'ZDOTDIR',
  // Node.js and its package runners
  'NODE_OPTIONS', 'NODE_PATH', 'NODE_REPL_EXTERNAL_MODULE', 'NODE_PENDING_PIPE_INSTANCES', 'npm_config_node_options', 'npm_config_script_shell', 'npm_config_prefix', 'npm_config_userconfig', 'npm_config_globalconfig', 'BUN_OPTIONS', 'DENO_DIR',
  // Python
  'PYTHONBREAKPOINT', 'PYTHONEXECUTABLE', 'PYTHONHOME', 'PYTHONINSPECT', 'PYTHONPATH', 'PYTHONPLATLIBDIR', 'PYTHONPYCACHEPREFIX', 'PYTHONSTARTUP', 'PYTHONUSERBASE', 'PYTHONWARNINGS',
  // Perl, Ruby, Java, Lua, PHP, .NET, Erlang, R
  'PERL5DB', 'PERL5LIB', 'PERL5OPT', 'PERLLIB', 'BUNDLE_GEMFILE', 'GEM_HOME', 'GEM_PATH', 'RUBYLIB', 'RUBYOPT', 'CLASSPATH', 'JAVA_OPTS', 'JAVA_TOOL_OPTIONS', 'JDK_JAVA_OPTIONS', '_JAVA_OPTIONS',
  'LUA_CPATH', 'LUA_INIT', 'LUA_PATH', 'PHPRC', 'PHP_INI_SCAN_DIR', 'DOTNET_STARTUP_HOOKS', 'COR_ENABLE_PROFILING', 'COR_PROFILER', 'CORECLR_ENABLE_PROFILING', 'CORECLR_PROFILER', 'ERL_AFLAGS', 'ERL_FLAGS', 'R_PROFILE_USER', 'R_ENVIRON_USER',
  // git and the programs it starts
  'GIT_ASKPASS', 'GIT_CONFIG', 'GIT_EDITOR', 'GIT_EXEC_PATH', 'GIT_EXTERNAL_DIFF', 'GIT_PAGER', 'GIT_PROXY_COMMAND', 'GIT_SEQUENCE_EDITOR', 'GIT_SSH', 'GIT_SSH_COMMAND', 'GIT_TEMPLATE_DIR', 'SSH_ASKPASS',
  'BROWSER', 'EDITOR', 'LESSCLOSE', 'LESSOPEN', 'MANPAGER', 'PAGER', 'VISUAL',
])

const prefixes = ['LD_', 'DYLD_', 'BASH_FUNC_', 'GIT_CONFIG_', 'LUA_INIT_', 'LUA_PATH_', 'LUA_CPATH_']

/** Whether a variable of this name can make a program run code of somebody's choice. */
export function hijacks (name: string): boolean {
  return names.has(name) || prefixes.some((prefix) => name.startsWith(prefix))
}
