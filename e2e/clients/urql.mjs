import assert from 'node:assert/strict';

import { cacheExchange, Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';
import { createClient } from 'graphql-ws';
import { onEnd, pipe, subscribe } from 'wonka';
import { WebSocket } from 'ws';

export const packages = ['@urql/core', '@urql/exchange-persisted'];

/** urql: it always accepts streams too, and must get JSON all the same. */
export function checks(server) {
  const answers = []; // what the client has got
  const observed = async (url, options) => {
    const response = await fetch(url, options);
    answers.push({ method: options.method ?? 'GET', url: String(url), type: response.headers.get('content-type'), accept: options.headers?.accept });
    return response;
  };
  const headers = { 'x-client-name': 'urql-e2e', 'x-client-version': '6.0' };
  const make = (...exchanges) => new Client({
    url: server.url, fetch: observed, fetchOptions: { headers }, preferGetMethod: false, exchanges: [cacheExchange, ...exchanges, fetchExchange],
  });
  const client = make();
  const ask = async (query, variables, options) => {
    const { data, error } = await client.query(query, variables, options).toPromise();
    assert.equal(error, undefined, String(error));
    return data;
  };
  const watch = 'subscription Watch($id: ID!) { runProgress(id: $id) { id status done total } }';
  const watched = async (by) => {
    const states = await collect(by.subscription(watch, { id: await server.startRun() }));
    assert.equal(states.at(-1).data.runProgress.status, 'SUCCEEDED');
    assert.ok(states.length > 1);
    return `${states.length} states`;
  };
  let alfki;

  return {
    'a query is answered as JSON, though the client accepts streams': async () => {
      ({ customerV2: alfki } = await ask('query Read($key: ID!) { customerV2(customerId: $key) { id name addresses { kind countryCode } } }', { key: 'ALFKI' }));
      assert.equal(alfki.addresses[0].countryCode, 'DE');
      assert.match(answers[0].accept, /text\/event-stream/);
      assert.match(answers[0].type, /^application\/(graphql-response\+)?json/);
    },
    'a query by GET': async () => {
      answers.length = 0;
      const data = await ask('query Count { customersV2(first: 1) { totalCount } }', {}, { preferGetMethod: 'force', requestPolicy: 'network-only' });
      assert.ok(data.customersV2.totalCount >= 200);
      assert.equal(answers[0].method, 'GET');
    },
    'refetching a node': async () => {
      const data = await ask('query Again($id: ID!) { node(id: $id) { __typename id ... on CustomerV2 { name } } }', { id: alfki.id });
      assert.deepEqual(data.node, { __typename: 'CustomerV2', id: alfki.id, name: alfki.name });
    },
    'a mutation makes the cache read again': async () => {
      const query = 'query Order($id: ID!) { orderV2(orderId: $id) { id note } }';
      const { ordersV2 } = await ask('{ ordersV2(first: 1) { nodes { orderId } } }', {});
      const id = ordersV2.nodes[0].orderId;
      assert.equal((await ask(query, { id })).orderV2.note, null);
      const { data, error } = await client
        .mutation('mutation Note($id: ID!, $note: String) { updateOrderV2(input: {orderId: $id, note: $note}) { order { id note } } }', { id, note: 'by urql' })
        .toPromise();
      assert.equal(error, undefined, String(error));
      assert.equal(data.updateOrderV2.order.note, 'by urql');
      assert.equal((await ask(query, { id })).orderV2.note, 'by urql');
    },
    'errors have their codes': async () => {
      const coded = async (query, method = 'query') => (await client[method](query, {}).toPromise()).error.graphQLErrors.map((e) => e.extensions.code);
      assert.deepEqual(await coded('mutation { updateCustomerV2(input: {customerId: "NOONE", name: "x"}) { customer { id } } }', 'mutation'), ['NOT_FOUND']);
      assert.deepEqual(await coded('{ nothing }'), ['BAD_USER_INPUT']);
      assert.deepEqual(await coded('{ customersV2(first: 101) { totalCount } }'), ['BAD_USER_INPUT']);
    },
    'pages forth and back': async () => {
      const page = (variables) => ask(`query Page($first: Int, $after: String, $last: Int, $before: String) {
        ordersV2(first: $first, after: $after, last: $last, before: $before) { nodes { orderId } pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } }`, variables);
      const { ordersV2: first } = await page({ first: 3 });
      const { ordersV2: second } = await page({ first: 3, after: first.pageInfo.endCursor });
      const { ordersV2: back } = await page({ last: 3, before: second.pageInfo.startCursor });
      assert.deepEqual(back.nodes, first.nodes);
      assert.equal(new Set([...first.nodes, ...second.nodes].map((node) => node.orderId)).size, 6);
      assert.ok(first.pageInfo.hasNextPage && !first.pageInfo.hasPreviousPage);
    },
    'automatic persisted queries over GET': async () => {
      for (const expected of ['the query', 'its hash']) {
        answers.length = 0;
        const { data, error } = await make(persistedExchange({ preferGetForPersistedQueries: 'force', enableForMutation: true }))
          .query('query Persisted { customerV2(customerId: "ALFKI") { name } }', {}).toPromise();
        assert.equal(error, undefined, String(error));
        assert.ok(data.customerV2.name);
        assert.equal(answers.length, expected === 'the query' ? 2 : 1);
        assert.equal(answers[0].method, 'GET');
      }
    },
    'a subscription over server-sent events sends states and completes': async () =>
      watched(new Client({ url: server.url, fetch: observed, fetchOptions: { headers }, fetchSubscriptions: true, preferGetMethod: false, exchanges: [fetchExchange] })),
    'a subscription over WebSocket sends states and completes': async () => {
      const sockets = createClient({ url: server.socketURL, webSocketImpl: WebSocket });
      const remark = await watched(new Client({
        url: server.url,
        preferGetMethod: false,
        exchanges: [subscriptionExchange({
          forwardSubscription: (request) => ({ subscribe: (sink) => ({ unsubscribe: sockets.subscribe({ ...request, query: request.query ?? '' }, sink) }) }),
        })],
      }));
      await sockets.dispose();
      return remark;
    },
    'it is seen in v1Usage under its name': async () => {
      await ask('query OldCity { customerV1(customerId: "ALFKI") { city } }', {});
      assert.deepEqual(await server.v1Usage('urql-e2e'), ['6.0 OldCity CustomerV1.city 1', '6.0 OldCity Query.customerV1 1']);
    },
  };
}

/** The results of a subscription, until it ends. */
const collect = (source) => new Promise((resolve) => {
  const all = [];
  pipe(source, onEnd(() => resolve(all)), subscribe((result) => result.data && all.push(result)));
});
