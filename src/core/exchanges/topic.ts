// topic: a message goes to the bindings whose pattern matches its routing key. amq.topic, where plain MQTT topics and STOMP's /topic/ live, is one.
import type { Binding } from '../binding.ts';
import type { RouteResult, Router } from '../exchange.ts';
import type { Message } from '../message.ts';
import type { RoutingKey } from '../routing-key.ts';
import { TopicTrie } from '../topic-trie.ts';

export class TopicRouter implements Router {
  readonly routesByKey = true;
  private readonly trie = new TopicTrie();

  bind(binding: Binding): void {
    this.trie.add(binding);
  }

  unbind(binding: Binding): void {
    this.trie.remove(binding);
  }

  route(key: RoutingKey, _message: Message | null, result: RouteResult): void {
    this.trie.match(key, result);
  }
}
