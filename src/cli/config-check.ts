// `sluice config check`: says whether a broker would start with this configuration, and with --print what it would be, each value with where it was written.
import { type Document, isScalar, parseDocument, stringify, visit } from 'yaml';
import { type Config, enabledListeners, type LoadedConfig, showFile } from '../config.ts';

function withoutSecrets(config: Config): object {
  const users = config.auth.users.map((user) => ({ ...user, hash: '***' }));
  return { ...config, auth: { ...config.auth, users } };
}

/** The configuration as YAML; what is no default says where it comes from. */
export function printConfig({ config, writtenAt }: LoadedConfig): string {
  const document: Document = parseDocument(stringify(withoutSecrets(config), { lineWidth: 0 }));
  visit(document, {
    Pair(_, pair, ancestors) {
      const path: PropertyKey[] = [];
      for (const ancestor of ancestors) {
        const key = (ancestor as { key?: unknown }).key;
        if (isScalar(key)) path.push(String(key.value));
      }
      if (isScalar(pair.key)) path.push(String(pair.key.value));
      const origin = writtenAt(path);
      if (origin !== '' && isScalar(pair.value)) pair.value.comment = ` ${origin}`;
    },
  });
  return document.toString({ lineWidth: 0 });
}

/** One line that names the file and the listeners. */
export function checkedLine({ config, file }: LoadedConfig): string {
  const listeners = enabledListeners(config).map(({ name, host, port }) => `${name} ${host}:${port}`);
  return `The configuration (${showFile(file)}) is valid: ${listeners.join(', ') || 'no listener'}.`;
}
