// What a user may do: allow and deny rules, compiled from the configuration. Pure functions of rules, action and name; deny beats allow, and what no rule
// allows is denied. Where a user has no `allow` at all, the default permissions stand in; an empty `allow` allows nothing.
import type { Action, Resource } from '../core/authorizer.ts';
import { percentEncode } from '../lib/percent.ts';
import {
  compilePattern,
  covers,
  DOTTED,
  dependsOnClient,
  type Pattern,
  type Subject,
  TOPIC,
  Unusable,
} from './pattern.ts';

/** A rule as configured: it applies when the action, the vhost and the name are among those it lists. */
export interface Rule {
  readonly actions: readonly Action[];
  /** Absent: in every vhost. */
  readonly vhosts?: readonly string[] | undefined;
  readonly topics?: readonly string[] | undefined;
  readonly queues?: readonly string[] | undefined;
  readonly exchanges?: readonly string[] | undefined;
}

export interface Rules {
  readonly allow?: readonly Rule[] | undefined;
  readonly deny?: readonly Rule[] | undefined;
}

/** The permissions of whoever has no `allow`: everything that is not the broker's own, of which figures and events may be read. */
export const DEFAULT_ALLOW: readonly Rule[] = [
  { actions: ['publish', 'subscribe', 'configure'], topics: ['#'], queues: ['#'], exchanges: ['#'] },
  { actions: ['subscribe'], topics: ['$SYS/#', '$event/#'] },
  { actions: ['publish'], topics: ['$reply/#'] },
];

interface CompiledRule {
  readonly actions: ReadonlySet<Action>;
  readonly vhosts: ReadonlySet<string> | null;
  readonly topics: readonly Pattern[];
  readonly queues: readonly Pattern[];
  readonly exchanges: readonly { readonly name: Pattern; readonly key: Pattern | null }[];
}

export interface Policy {
  readonly allow: readonly CompiledRule[];
  readonly deny: readonly CompiledRule[];
  /** A rule has %c: two clients of one user may get different answers. */
  readonly dependsOnClient: boolean;
}

export const NOTHING_ALLOWED: Policy = { allow: [], deny: [], dependsOnClient: false };

/** 'orders/eu/#' → the exchange pattern 'orders' and the filter 'eu/#' for routing keys; without '/', any key. */
export function splitExchangePattern(text: string): { name: string; key: string | null } {
  const slash = text.indexOf('/');
  return slash < 0 ? { name: text, key: null } : { name: text.slice(0, slash), key: text.slice(slash + 1) };
}

function compileRule(rule: Rule): CompiledRule {
  return {
    actions: new Set(rule.actions),
    vhosts: rule.vhosts === undefined ? null : new Set(rule.vhosts),
    topics: (rule.topics ?? []).map((text) => compilePattern(text, TOPIC)),
    queues: (rule.queues ?? []).map((text) => compilePattern(text, DOTTED)),
    exchanges: (rule.exchanges ?? []).map((text) => {
      const { name, key } = splitExchangePattern(text);
      return { name: compilePattern(name, DOTTED), key: key === null ? null : compilePattern(key, TOPIC) };
    }),
  };
}

function ruleDependsOnClient({ topics, queues, exchanges }: CompiledRule): boolean {
  const names = exchanges.flatMap(({ name, key }) => (key === null ? [name] : [name, key]));
  return [...topics, ...queues, ...names].some(dependsOnClient);
}

export function compilePolicy(rules: Rules): Policy {
  const allow = (rules.allow ?? DEFAULT_ALLOW).map(compileRule);
  const deny = (rules.deny ?? []).map(compileRule);
  return { allow, deny, dependsOnClient: [...allow, ...deny].some(ruleDependsOnClient) };
}

/** Exchanges that are another way to say something else. A rule on the one holds for the other, whichever way a client takes. */
const EXCHANGE_OF_TOPICS = 'amq.topic';
const EXCHANGE_OF_QUEUES = '';
const EXCHANGE_OF_EVENTS = 'sluice.event';

/** The same resource by its one canonical name. */
export function canonical(action: Action, resource: Resource): Resource {
  if (resource.kind !== 'exchange') return resource;
  const { vhost, name, key } = resource;
  if (name === EXCHANGE_OF_QUEUES) return { vhost, kind: 'queue', name: key, key: '' };
  if (action === 'configure') return resource;
  if (name === EXCHANGE_OF_TOPICS) return { vhost, kind: 'topic', name: key, key: '' };
  if (name === EXCHANGE_OF_EVENTS) return { vhost, kind: 'topic', name: `$event/${key}`, key: '' };
  return resource;
}

function matches(
  rule: CompiledRule,
  action: Action,
  { vhost, kind, name, key }: Resource,
  subject: Subject,
  unusable: Unusable,
): boolean {
  if (!rule.actions.has(action)) return false;
  if (rule.vhosts !== null && !rule.vhosts.has(vhost)) return false;
  // In a path a literal '+' or '#' is escaped, so those of a subscription are wildcards.
  const isPattern = action === 'subscribe';
  switch (kind) {
    case 'topic':
      return rule.topics.some((pattern) => covers(pattern, name, isPattern, subject, unusable));
    case 'queue':
      return rule.queues.some((pattern) => covers(pattern, name, false, subject, unusable));
    case 'exchange':
      return rule.exchanges.some(
        (pattern) =>
          covers(pattern.name, name, false, subject, unusable) &&
          (pattern.key === null || covers(pattern.key, key, isPattern, subject, unusable)),
      );
  }
}

const REPLY_PREFIX = '$reply/';
const IN_LEVEL = /[/%+#\p{Cc}]/gu;

/** `$reply/<client id>/…` is where a client gets its answers; it may read them whatever its rules allow, and nobody else may. */
function isOwnReply(name: string, clientId: string): boolean {
  return name.startsWith(REPLY_PREFIX) && name.startsWith(`${REPLY_PREFIX}${percentEncode(clientId, IN_LEVEL)}/`);
}

/** May `subject` do `action` to `resource`? The vhost of %v is the resource's own. */
export function isAllowed(policy: Policy, user: string, clientId: string, action: Action, resource: Resource): boolean {
  const subject: Subject = { user, clientId, vhost: resource.vhost };
  const target = canonical(action, resource);
  for (const rule of policy.deny) if (matches(rule, action, target, subject, Unusable.MatchesAnything)) return false;
  if (action === 'subscribe' && target.kind === 'topic' && isOwnReply(target.name, clientId)) return true;
  for (const rule of policy.allow) if (matches(rule, action, target, subject, Unusable.MatchesNothing)) return true;
  return false;
}
