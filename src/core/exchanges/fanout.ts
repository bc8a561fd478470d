// fanout: every message goes to every binding.
import type { Binding } from '../binding.ts';
import { addBagTo, addToBag, type BindingBag, removeFromBag } from '../binding-bag.ts';
import type { RouteResult, Router } from '../exchange.ts';
import type { Message } from '../message.ts';
import type { RoutingKey } from '../routing-key.ts';

export class FanoutRouter implements Router {
  readonly routesByKey = true;
  private bag: BindingBag | null = null;

  bind(binding: Binding): void {
    this.bag = addToBag(this.bag, binding);
  }

  unbind(binding: Binding): void {
    if (this.bag !== null) this.bag = removeFromBag(this.bag, binding);
  }

  route(_key: RoutingKey, _message: Message | null, result: RouteResult): void {
    if (this.bag !== null) addBagTo(result, this.bag);
  }
}
