import assert from 'node:assert/strict';

import { createClient } from 'graphql-sse';

import { within } from '../lib/report.mjs';

export const packages = ['graphql-sse'];

/** graphql-sse, in its "distinct connections mode". */
export function checks(server) {
  const client = createClient({ url: server.url, retryAttempts: 0, headers: { 'x-client-name': 'graphql-sse-e2e', 'x-client-version': '2.6' } });
  const all = async (query, variables) => {
    const results = [];
    for await (const result of client.iterate({ query, variables })) results.push(result);
    return results;
  };
  const watch = 'subscription Watch($id: ID!) { runProgress(id: $id) { id status done total } }';

  return {
    'a query and a mutation, each one event': async () => {
      const [{ data }, ...more] = await all('query Read($key: ID!) { customerV2(customerId: $key) { name } }', { key: 'ALFKI' });
      assert.equal(data.customerV2.name, 'Alfreds Futterkiste');
      assert.equal(more.length, 0);
      const { customersV2: { nodes } } = await server.ask('{ customersV2(last: 1) { nodes { customerId } } }');
      const changed = await all('mutation Rename($key: ID!) { updateCustomerV2(input: {customerId: $key, name: "by graphql-sse"}) { customer { name } } }', { key: nodes[0].customerId });
      assert.equal(changed[0].data.updateCustomerV2.customer.name, 'by graphql-sse');
    },
    'a subscription sends states and completes': async () => {
      const states = await all(watch, { id: await server.startRun() });
      assert.equal(states.at(-1).data.runProgress.status, 'SUCCEEDED');
      assert.ok(states.length > 1);
      return `${states.length} states`;
    },
    'a subscription that the client ends is over': async () => {
      const states = client.iterate({ query: 'subscription { migrationProgress(entity: CUSTOMER) { phase } }' });
      assert.equal((await states.next()).value.data.migrationProgress.phase, 'MIGRATE');
      assert.equal((await within(5000, states.return())).done, true);
    },
    'errors have their codes': async () => {
      for (const [query, code] of [
        ['{ nothing }', 'BAD_USER_INPUT'],
        ['mutation { updateCustomerV2(input: {customerId: "NOONE", name: "x"}) { customer { id } } }', 'NOT_FOUND'],
        ['subscription { runProgress(id: "bm8=") { id } }', 'BAD_USER_INPUT'],
      ]) {
        const results = await all(query);
        assert.equal(results[0].errors[0].extensions.code, code);
        assert.equal(results.length, 1);
      }
    },
    'it is seen in v1Usage under its name': async () => {
      await all('query OldCity { customerV1(customerId: "ALFKI") { city } }');
      assert.deepEqual(await server.v1Usage('graphql-sse-e2e'), ['2.6 OldCity CustomerV1.city 1', '2.6 OldCity Query.customerV1 1']);
    },
    'it ends': async () => client.dispose(),
  };
}
