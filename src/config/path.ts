// Paths of options, in the three ways they are written: as steps, as text (`listeners.mqtt.port`, `auth.users[0].name`) and as the name of an environment
// variable. Knows nothing of the options themselves.

export type Path = readonly PropertyKey[];

export const ENV_PREFIX = 'SLUICE_';

/** ['auth', 'users', 0, 'name'] → 'auth.users[0].name' */
export function showPath(path: Path): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else text += text === '' ? String(key) : `.${String(key)}`;
  }
  return text;
}

/** 'listeners.mqtt.port' → steps; null when a step is empty. */
export function parsePath(text: string): string[] | null {
  const path = text.split('.');
  return path.includes('') ? null : path;
}

/**
 * ['mqtt', 'keepAliveMaxS'] → 'SLUICE_MQTT__KEEP_ALIVE_MAX_S'. Two underscores are the dot, one stands before what was a capital letter. Reversible for
 * every path whose steps are a small letter followed by letters and digits, as all options and listener names are.
 */
export function envName(path: readonly string[]): string {
  return ENV_PREFIX + path.map((key) => key.replace(/[A-Z]/g, '_$&').toUpperCase()).join('__');
}

/** The path an environment variable stands for; null when its name is not one that envName makes. */
export function envPath(variable: string): string[] | null {
  if (!variable.startsWith(ENV_PREFIX)) return null;
  const path = variable
    .slice(ENV_PREFIX.length)
    .split('__')
    .map((part) => part.toLowerCase().replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()));
  const regular = path.every((key) => /^[a-z][a-zA-Z0-9]*$/.test(key));
  return regular && envName(path) === variable ? path : null;
}
