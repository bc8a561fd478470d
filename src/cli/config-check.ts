// `sluice config check`: says whether a broker would start with this configuration, and with --print what it would be, each value with where it was written.
import { Document, isMap, isScalar, isSeq } from 'yaml';
import type { Path } from '../config/path.ts';
import { type Config, enabledListeners, type LoadedConfig, showFile } from '../config.ts';
import { SystemClock } from '../io/clock.ts';
import { SILENT } from '../io/logger.ts';
import { CertificateError } from '../server/certificate.ts';
import { certificateOf } from '../server/start.ts';
import { Refusal } from './refusal.ts';

function withoutSecrets(config: Config): object {
  const users = config.auth.users.map((user) => ({ ...user, hash: '***' }));
  return { ...config, auth: { ...config.auth, users } };
}

/** Writes behind every value of `node` where it was written, if it was. */
function annotate(node: unknown, path: Path, writtenAt: LoadedConfig['writtenAt']): void {
  if (isMap(node)) for (const { key, value } of node.items) annotate(value, [...path, String(key)], writtenAt);
  else if (isSeq(node)) for (const [i, item] of node.items.entries()) annotate(item, [...path, i], writtenAt);
  else if (isScalar(node)) {
    const origin = writtenAt(path);
    if (origin !== '') node.comment = ` ${origin}`;
  }
}

/** The configuration as YAML; what is no default says where it comes from. */
export function printConfig({ config, writtenAt }: LoadedConfig): string {
  const document = new Document(withoutSecrets(config), { aliasDuplicateObjects: false });
  annotate(document.contents, [], writtenAt);
  return document.toString({ lineWidth: 0 });
}

/** Reads the files that the configuration names. Throws a Refusal with a line for each listener whose certificate cannot be used. */
export function checkFiles({ config }: LoadedConfig): void {
  const clock = new SystemClock();
  const lines = enabledListeners(config).flatMap((listener) => {
    try {
      certificateOf(listener, clock, SILENT);
      return [];
    } catch (error) {
      if (error instanceof CertificateError) return [error.message];
      throw error;
    }
  });
  if (lines.length > 0) throw new Refusal(lines.join('\n'));
}

/** One line that names the file and the listeners. */
export function checkedLine({ config, file }: LoadedConfig): string {
  const listeners = enabledListeners(config).map(({ name, host, port }) => `${name} ${host}:${port}`);
  return `The configuration (${showFile(file)}) is valid: ${listeners.join(', ') || 'no listener'}.`;
}
