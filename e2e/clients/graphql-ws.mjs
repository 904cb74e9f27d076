import assert from 'node:assert/strict';

import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';

import { within } from '../lib/report.mjs';

export const packages = ['graphql-ws', 'ws'];

/** graphql-ws: everything over one socket. */
export function checks(server) {
  const closed = [];
  const client = createClient({
    url: server.socketURL,
    webSocketImpl: WebSocket,
    lazy: false,
    retryAttempts: 0,
    connectionParams: { 'x-client-name': 'graphql-ws-e2e', 'x-client-version': '6.4' },
    on: { closed: ({ code }) => closed.push(code) },
  });
  const all = async (query, variables) => {
    const results = [];
    for await (const result of client.iterate({ query, variables })) results.push(result);
    return results;
  };
  const watch = 'subscription Watch($id: ID!) { runProgress(id: $id) { id status done total } }';

  return {
    'a query and a mutation, each one result': async () => {
      const [{ data }, ...more] = await all('query Read($key: ID!) { customerV2(customerId: $key) { name } }', { key: 'ALFKI' });
      assert.equal(data.customerV2.name, 'Alfreds Futterkiste');
      assert.equal(more.length, 0);
      const { customersV2: { nodes } } = await server.ask('{ customersV2(last: 1) { nodes { customerId } } }');
      const changed = await all('mutation Rename($key: ID!) { updateCustomerV2(input: {customerId: $key, name: "by graphql-ws"}) { customer { name } } }', { key: nodes[0].customerId });
      assert.equal(changed[0].data.updateCustomerV2.customer.name, 'by graphql-ws');
    },
    'a subscription sends states and completes': async () => {
      const states = await all(watch, { id: await server.startRun() });
      assert.equal(states.at(-1).data.runProgress.status, 'SUCCEEDED');
      assert.ok(states.length > 1);
      return `${states.length} states`;
    },
    'two subscriptions on one socket do not mix': async () => {
      const id = await server.startRun();
      const [runs, [migration]] = await Promise.all([
        all(watch, { id }),
        (async () => {
          for await (const result of client.iterate({ query: 'subscription { migrationProgress(entity: ORDER) { entity } }' })) return [result];
        })(),
      ]);
      assert.ok(runs.every(({ data }) => data.runProgress.id === id));
      assert.equal(migration.data.migrationProgress.entity, 'ORDER');
    },
    'a subscription that the client ends is over, and the socket goes on': async () => {
      const states = client.iterate({ query: 'subscription { migrationProgress(entity: CUSTOMER) { phase } }' });
      assert.equal((await states.next()).value.data.migrationProgress.phase, 'MIGRATE');
      assert.equal((await within(5000, states.return())).done, true);
      assert.equal((await all('{ __typename }'))[0].data.__typename, 'Query');
    },
    'errors have their codes': async () => {
      const refused = await all('{ nothing }').catch((errors) => errors);
      assert.equal(refused[0].extensions.code, 'BAD_USER_INPUT');
      const failed = await all('mutation { updateCustomerV2(input: {customerId: "NOONE", name: "x"}) { customer { id } } }');
      assert.equal(failed[0].errors[0].extensions.code, 'NOT_FOUND');
      const subscription = await all(watch, { id: 'bm8=' });
      assert.equal(subscription[0].errors[0].extensions.code, 'BAD_USER_INPUT');
    },
    'it is seen in v1Usage under its name': async () => {
      await all('query OldCity { customerV1(customerId: "ALFKI") { city } }');
      assert.deepEqual(await server.v1Usage('graphql-ws-e2e'), ['6.4 OldCity CustomerV1.city 1', '6.4 OldCity Query.customerV1 1']);
    },
    'the socket was never cut, and closes normally': async () => {
      assert.deepEqual(closed, []);
      await client.dispose();
    },
    'the old subprotocol is refused with a hint': async () => {
      const socket = new WebSocket(server.socketURL, 'graphql-ws');
      const answer = await new Promise((resolve, reject) => {
        socket.on('unexpected-response', (_, response) => response.setEncoding('utf8').on('data', resolve));
        socket.on('open', () => reject(new Error('it is accepted')));
      });
      assert.match(answer, /graphql-transport-ws/);
    },
  };
}
