// The one choke point of authorisation: synchronous, default deny, asked for every path (publish, subscribe, each delivery through route resolution, retained,
// will, bind, declare). Answers may be cached until `epoch` changes.

/** Who somebody is, once authenticated. Connections of one user share one object. */
export interface Principal {
  readonly name: string;
  /** Opaque to all but the authorizer. */
  readonly policy: object | null;
}

export const Action = {
  Publish: 'publish',
  Subscribe: 'subscribe',
  /** Declare, delete and bind queues and exchanges. */
  Configure: 'configure',
} as const;
export type Action = (typeof Action)[keyof typeof Action];

export interface Resource {
  readonly vhost: string;
  readonly kind: 'topic' | 'queue' | 'exchange';
  /** Topic: path (or path pattern for a subscription); queue and exchange: the name. */
  readonly name: string;
  /** For kind 'exchange': the routing key or pattern as a path, '' when there is none. */
  readonly key: string;
}

export interface Authorizer {
  /** Grows whenever an answer may have changed. */
  readonly epoch: number;
  /** Do the answers for this principal depend on the client id? Then connections must not share what they cache. */
  dependsOnClient(principal: Principal): boolean;
  /** clientId is for rules with %c. */
  allows(principal: Principal, clientId: string, action: Action, resource: Resource): boolean;
}

export const ALLOW_ALL: Authorizer = {
  epoch: 0,
  dependsOnClient: () => false,
  allows: () => true,
};
