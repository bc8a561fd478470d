// direct: a message goes to the bindings whose key is its routing key, letter for letter. The default exchange is one of these, with queue names as keys.
import type { Binding } from '../binding.ts';
import { addBagTo, addToBag, type BindingBag, removeFromBag } from '../binding-bag.ts';
import type { RouteResult, Router } from '../exchange.ts';
import type { Message } from '../message.ts';
import type { RoutingKey } from '../routing-key.ts';

export class DirectRouter implements Router {
  readonly routesByKey = true;
  private readonly bags = new Map<string, BindingBag>();

  bind(binding: Binding): void {
    this.bags.set(binding.key, addToBag(this.bags.get(binding.key), binding));
  }

  unbind(binding: Binding): void {
    const bag = this.bags.get(binding.key);
    if (bag === undefined) return;
    const rest = removeFromBag(bag, binding);
    if (rest === null) this.bags.delete(binding.key);
    else if (rest !== bag) this.bags.set(binding.key, rest);
  }

  route(key: RoutingKey, _message: Message | null, result: RouteResult): void {
    const bag = this.bags.get(key.path);
    if (bag !== undefined) addBagTo(result, bag);
  }
}
