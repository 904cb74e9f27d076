import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print } from 'graphql';
import { GraphQLClient } from 'graphql-request';
import { createClient } from 'graphql-sse';

import { useFragment as read } from './gql/index.js';
import { FindOrders, NoteOrder, OrderParts, ReadOrder, WatchRun } from './operations.js';

/** A client whose operations are checked by the compiler, down to enums and scalars. */
export class Orders {
  readonly #http: GraphQLClient;

  constructor(private readonly url: string) {
    this.#http = new GraphQLClient(url);
  }

  async newest(first: number) {
    const { ordersV2 } = await this.#http.request(FindOrders, {
      first,
      orderBy: { field: 'DATE', direction: 'DESC' },
      filter: { shipped: true },
    });
    return { total: ordersV2.totalCount, orders: ordersV2.nodes.filter((node) => node !== null).map((node) => read(OrderParts, node)) };
  }

  async node(id: string) {
    const { node } = await this.#http.request(ReadOrder, { id });
    return node?.__typename === 'OrderV2' ? read(OrderParts, node) : null;
  }

  async note(orderId: string, note: string | null) {
    const { updateOrderV2 } = await this.#http.request(NoteOrder, { input: { orderId, note } });
    if (!updateOrderV2) throw new Error('there is no such order'); // which request has thrown before
    const order = read(OrderParts, updateOrderV2.order);
    const amount: string = order.total.amount; // exact: no number
    return { ...order, amount };
  }

  async *watch(id: string) {
    const client = createClient({ url: this.url });
    yield* results(client, WatchRun, { id });
    client.dispose();
  }
}

async function* results<R, V extends Record<string, unknown>>(
  client: ReturnType<typeof createClient>,
  document: TypedDocumentNode<R, V>,
  variables: V,
) {
  for await (const { data } of client.iterate<R>({ query: print(document), variables })) {
    if (data) yield data as R;
  }
}
