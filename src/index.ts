// The library: everything a program needs that has the broker in its own process. Re-exports only.
export type { ConfigInput } from './config.ts';
export { ConfigError } from './config.ts';
export type { AuthExchange, Authenticator, AuthResult, AuthStep, Credentials } from './core/authenticator.ts';
export type { Action, Authorizer, Principal, Resource } from './core/authorizer.ts';
export { BrokerError, type BrokerErrorCode } from './core/errors.ts';
export type { Headers, Properties } from './core/properties.ts';
export {
  type CreateBrokerOptions,
  createBroker,
  type EmbeddedBroker,
  type PublishOptions,
  type PublishResult,
  type SubscribeOptions,
} from './embed/broker.ts';
export type { Handler, ReceivedMessage, Subscription } from './embed/subscription.ts';
export type { LogFields, Logger } from './io/logger.ts';
export type { ListeningAddress } from './server/start.ts';
